"""Contrastive image and text encoders of open_clip (Radford et al. 2021, arXiv 2103.00020)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from tts.errors import SettingError, WeightsError
from tts.files import tensors
from tts.files.digests import sha256
from tts.files.homes import expanded
from tts.files.hub import HUB, hub_file, named_file
from tts.files.staging import near
from tts.plan import Condition
from tts.precision import Precision, dtype
from tts.prompts import cut_notes
from tts.rewards import clip_constants, open_clip_models
from tts.rewards.base import Caption, RewardSettings
from tts.rewards.clip_constants import Constants, Preprocessing
from tts.rewards.encoders import Encoders, cut_by
from tts.rewards.preprocess import Mode
from tts.settings import nearest

WORDS = ("*.json", "*.txt", "*.model")
"""Files of tokenizers."""


class ContrastiveSettings(RewardSettings):
    """Settings of the encoders and their weights."""

    model: str = Field(
        "ViT-L-14", description="open_clip's name, a folder in open_clip's form, or hf-hub:owner/name of one"
    )
    pretrained: str = Field(
        "openai", description="open_clip's tag of weights for a named model, a file of them, or hf-hub:owner/name/file"
    )
    precision: Precision = Field("fp32", description="precision of the encoders")
    quick_gelu: bool | None = Field(
        None,
        description="whether the encoders use OpenAI's approximate GELU; default: known from the tag, the folder or "
        "the file's digest",
    )
    preprocessing: str | Preprocessing | None = Field(
        None,
        description="how images are prepared: a tag of the model, or any of {mean, std, "
        "interpolation, resize_mode}; default: known from the tag, the folder or the file's digest",
    )

    younger: ClassVar[tuple[str, ...]] = ("quick_gelu", "preprocessing")
    """Settings that the oldest stored runs lack."""
    reads_prompts: ClassVar[bool] = True
    """Whether the reward reads the prompt."""
    resize_mode: ClassVar[Mode | None] = None
    """How images become squares, if the reward sets it in place of the weights."""
    files_quick_gelu: ClassVar[bool | None] = None
    """The GELU of weights files, if the reward sets it."""

    def record(self) -> dict[str, Any]:
        """The settings as plain values; those of :attr:`younger` only where they are set."""
        found = super().record()
        return {name: value for name, value in found.items() if name not in self.younger or value is not None}

    def check(self) -> None:
        """Find the weights, which are downloaded if needed, and the facts about them; raises a ``TTSError``."""
        self.weights()
        self.constants()

    def identity(self) -> dict[str, Any]:
        """The settings, with digests in place of addresses, and the facts about the weights.

        GELU and preprocessing are left out if they equal those of the original CLIP, as in the oldest stored runs.
        """
        constants, name = self.constants(), self.model if self._named else sha256(self._folder_config(), "model")
        found = {**self.record(), "model": name, "pretrained": sha256(self.weights(), "pretrained")}
        usual = self._usual()
        found |= {"quick_gelu": constants.quick_gelu, "preprocessing": constants.preprocessing}
        found |= {"tokenizer": words} if (words := self._words()) else {}
        if constants.quick_gelu == usual.quick_gelu:
            del found["quick_gelu"]
        if constants.preprocessing == usual.preprocessing:
            del found["preprocessing"]
        return found

    def notes(self, conditions: Sequence[Condition], caption: Caption = str) -> list[str]:
        """Notes on prompts that are cut, and on facts that are assumed for weights without a tag."""
        cut = cut_notes([caption(each) for each in conditions], cut_by(self.tokenizer())) if self.reads_prompts else []
        return [*self._told_notes(), *cut]

    def _told_notes(self) -> list[str]:
        if self._named and self.pretrained in clip_constants.tags_of(self.model):
            return []
        found = self.constants()
        gelu = "QuickGELU" if found.quick_gelu else "GELU"
        return [
            f"weights {self.pretrained if self._named else self.model} are used with {gelu}, their images prepared by "
            f"{found.text} (from {found.told_by}); set quick_gelu or preprocessing to change that"
        ]

    def constants(self) -> Constants:
        """The facts about the weights that their file does not hold.

        Raises:
            SettingError: the GELU is neither known nor set.
            WeightsError: the weights cannot be found or downloaded.
        """
        found = self._told()
        if isinstance(self.preprocessing, str):
            found = replace(clip_constants.of_tag(self.model, self.preprocessing), quick_gelu=found.quick_gelu)
        if self.resize_mode is not None:
            found = replace(found, resize_mode=self.resize_mode)
        if isinstance(self.preprocessing, Preprocessing):
            found = found.changed(self.preprocessing)
        gelu = found.quick_gelu if self.quick_gelu is None else self.quick_gelu
        if gelu is None:
            raise SettingError(
                f"pretrained = {self.pretrained}: weights of {self.model} are published with two kinds of GELU, and "
                "the digest of this file is not known; set quick_gelu to true (OpenAI's, MetaCLIP's, DFN's) or false"
            )
        return replace(found, quick_gelu=gelu)

    def _told(self) -> Constants:
        """The facts known from the tag, file or folder."""
        if not self._named:
            return clip_constants.of_folder(open_clip_models.read_json(self._folder_config()), f"model {self.model}")
        if self.pretrained in clip_constants.tags_of(self.model):
            return clip_constants.of_tag(self.model, self.pretrained)
        found = clip_constants.of_file(self.model, self.weights(), str(expanded(self.pretrained)))
        return found if self.files_quick_gelu is None else replace(found, quick_gelu=self.files_quick_gelu)

    def _usual(self) -> Constants:
        """The facts that an identity leaves out: all weights had them before they could be set."""
        if not self._named:
            found = clip_constants.of_folder(open_clip_models.read_json(self._folder_config()), f"model {self.model}")
        elif self.pretrained in clip_constants.tags_of(self.model):
            gelu = clip_constants.of_tag(self.model, self.pretrained).quick_gelu
            found = replace(clip_constants.clips_own(self.model), quick_gelu=gelu)
        else:
            found = clip_constants.clips_own(self.model)
        return found if self.resize_mode is None else replace(found, resize_mode=self.resize_mode)

    def _words(self) -> dict[str, str]:
        """Digests of the tokenizer files in a local folder whose configuration names a tokenizer of its own."""
        folder = expanded(self.model)
        if not folder.is_dir():
            return {}
        config = open_clip_models.read_json(self._folder_config())
        own = config["model_cfg"].get("text_cfg", {}).get("hf_tokenizer_name")
        files = sorted(file for kind in WORDS for file in folder.glob(kind)) if own else []
        return {file.name: sha256(file, "model") for file in files if file.name != "open_clip_config.json"}

    @property
    def _named(self) -> bool:
        """Whether open_clip knows the model by name."""
        return not self.model.startswith(HUB) and not expanded(self.model).is_dir()

    def _folder_config(self) -> Path:
        return self._in_folder("open_clip_config.json")

    def _in_folder(self, name: str) -> Path:
        """A file of a model that is a folder, local or on the hub."""
        if self.model.startswith(HUB):
            return hub_file(self.model.removeprefix(HUB), name, "model")
        path = expanded(self.model) / name
        if not path.is_file():
            raise WeightsError(
                f"model {self.model}: the folder has no {name}; save it in the form of open_clip.push_to_hf_hub"
            )
        return near(path)

    def weights(self) -> Path:
        """The weights' file; it is downloaded if it is not on this machine.

        Raises:
            SettingError: the model or tag is unknown.
            WeightsError: the file cannot be found or downloaded.
        """
        if not self._named:
            return self._in_folder("open_clip_model.safetensors")
        import open_clip

        if self.model not in open_clip.list_models():
            raise SettingError(f"model {self.model}: unknown; {nearest(self.model, open_clip.list_models())}")
        if self.pretrained.startswith(HUB):
            return named_file(self.pretrained, "pretrained")
        tags = open_clip.list_pretrained_tags_by_model(self.model)
        if self.pretrained in tags:
            return open_clip_models.published(self.model, self.pretrained)
        if not expanded(self.pretrained).is_file():
            raise SettingError(
                f"pretrained = {self.pretrained}: no such file, and no tag of {self.model}; "
                f"{nearest(self.pretrained, tags)}"
            )
        return near(expanded(self.pretrained))

    def encoders(self, device: str) -> Encoders:
        """The encoders on a device.

        Raises:
            WeightsError: the weights are damaged or for another model.
        """
        from tts.networks.placing import place

        path, constants = self.weights(), self.constants()
        found = tensors.read(path, "pretrained")
        model, tokenizer = self._network(constants), self.tokenizer()
        tensors.fill(model, open_clip_models.without_extras(found, model), f"pretrained {path}")
        place(model, device, dtype(self.precision))
        return Encoders(model, tokenizer, open_clip_models.preprocess(model, constants, self.model), device)

    def _network(self, constants: Constants) -> Any:
        """The model without weights."""
        return open_clip_models.network(self._source, self.model, bool(constants.quick_gelu))

    def tokenizer(self) -> Any:
        """The tokenizer: a text to tokens ``[1, L]``."""
        return open_clip_models.tokenizer(self._source, self.model)

    @property
    def _source(self) -> str:
        """The model's name for open_clip."""
        if self._named or self.model.startswith(HUB):
            return self.model
        return f"local-dir:{expanded(self.model)}"
