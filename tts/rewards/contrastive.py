"""Contrastive image and text encoders of open_clip (Radford et al. 2021, arXiv 2103.00020)."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from tts.errors import SettingError, WeightsError
from tts.files import tensors
from tts.files.digests import sha256
from tts.files.hub import hub_file
from tts.files.staging import near
from tts.precision import Precision, dtype
from tts.rewards.base import RewardSettings
from tts.rewards.preprocess import Mode, Preprocess, by_row
from tts.settings import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

HUB = "hf-hub:"
KEPT = 4096
"""Encoded texts that are kept."""


class ContrastiveSettings(RewardSettings):
    """Which encoders, and with which weights."""

    model: str = Field(
        "ViT-L-14", description="open_clip's name, a folder in open_clip's form, or hf-hub:owner/name of one"
    )
    pretrained: str = Field(
        "openai", description="open_clip's tag of weights for a named model, a file of them, or hf-hub:owner/name/file"
    )
    precision: Precision = Field("fp32", description="of the encoders")

    def check(self) -> None:
        """Find the weights, fetched first if need be, and see that they can be read."""
        self.weights()

    def identity(self) -> dict[str, Any]:
        """The settings, with digests in place of addresses."""
        name = self.model if self._named else sha256(self._folder_config(), "model")
        return {**self.record(), "model": name, "pretrained": sha256(self.weights(), "pretrained")}

    @property
    def _named(self) -> bool:
        """Whether the model is one of those that open_clip knows by name."""
        return not self.model.startswith(HUB) and not Path(self.model).expanduser().is_dir()

    def _folder_config(self) -> Path:
        return self._in_folder("open_clip_config.json")

    def _in_folder(self, name: str) -> Path:
        """A file of a model that is a folder, here or on the hub."""
        if self.model.startswith(HUB):
            return hub_file(self.model.removeprefix(HUB), name, "model")
        path = Path(self.model).expanduser() / name
        if not path.is_file():
            raise WeightsError(
                f"model {self.model}: the folder has no {name}; save it with open_clip.push_to_hf_hub's form"
            )
        return near(path)

    def weights(self) -> Path:
        """The file of the weights, fetched first if need be.

        Raises:
            SettingError: no such model or tag.
            WeightsError: the file cannot be had.
        """
        if not self._named:
            return self._in_folder("open_clip_model.safetensors")
        import open_clip

        if self.model not in open_clip.list_models():
            raise SettingError(f"model {self.model}: unknown; {nearest(self.model, open_clip.list_models())}")
        if self.pretrained.startswith(HUB):
            owner, name, file = self.pretrained.removeprefix(HUB).split("/", 2)
            return hub_file(f"{owner}/{name}", file, "pretrained")
        tags = open_clip.list_pretrained_tags_by_model(self.model)
        if self.pretrained in tags:
            return _published(self.model, self.pretrained)
        if not Path(self.pretrained).expanduser().is_file():
            raise SettingError(
                f"pretrained = {self.pretrained}: no such file, and no tag of {self.model}; "
                f"{nearest(self.pretrained, tags)}"
            )
        return near(Path(self.pretrained).expanduser())

    def encoders(self, device: str, mode: Mode | None = None) -> Encoders:
        """The encoders on a device.

        Args:
            mode: how images become squares; None: as the model has it.

        Raises:
            WeightsError: the weights are damaged or of another model.
        """
        import open_clip

        path = self.weights()
        found = tensors.read(path, "pretrained")
        with _silent():
            model = open_clip.create_model(self._source, load_weights=False, force_quick_gelu=self._quick_gelu)
            tokenizer = open_clip.get_tokenizer(self._source)
        tensors.fill(model, _without_extras(found, model), f"pretrained {path}")
        model.to(device, dtype(self.precision)).eval().requires_grad_(False)
        return Encoders(model, tokenizer, _preprocess(model, mode), device)

    @property
    def _source(self) -> str:
        """The model as open_clip wants it named."""
        if self._named or self.model.startswith(HUB):
            return self.model
        return f"local-dir:{Path(self.model).expanduser()}"

    @property
    def _quick_gelu(self) -> bool:
        """OpenAI's weights were trained with an approximate GELU, which the plain names of models do not tell."""
        import open_clip

        entry = open_clip.get_pretrained_cfg(self.model, self.pretrained) if self._named else {}
        return bool(entry.get("quick_gelu", False))


class Encoders:
    """Image and text encoders on one device; embeddings have unit length, float32."""

    def __init__(self, model: Any, tokenizer: Callable[[str], Tensor], prepare: Preprocess, device: str) -> None:
        self.model, self.tokenizer, self.prepare, self.device = model, tokenizer, prepare, device
        self.dtype = next(model.parameters()).dtype
        self.texts = Texts(self._text)

    def images(self, images: Tensor) -> Tensor:
        """``[B, 3, H, W]`` uint8 to ``[B, D]``."""
        return unit(by_row(self.model.encode_image, self.prepare(images.to(self.device)).to(self.dtype)))

    def _text(self, text: str) -> Tensor:
        return unit(self.model.encode_text(self.tokenizer(text).to(self.device)))[0]


class Texts:
    """Embeddings of texts, each encoded once and by itself, so that none depends on the others.

    Args:
        encode: a text to ``[D]``.
    """

    def __init__(self, encode: Callable[[str], Tensor]) -> None:
        self.encode = encode
        self._recent: OrderedDict[str, Tensor] = OrderedDict()

    def __call__(self, texts: list[str]) -> Tensor:
        """``[B, D]``."""
        import torch

        return torch.stack([self._one(text) for text in texts])

    def _one(self, text: str) -> Tensor:
        if text in self._recent:
            self._recent.move_to_end(text)
            return self._recent[text]
        self._recent[text] = self.encode(text)
        if len(self._recent) > KEPT:
            self._recent.popitem(last=False)
        return self._recent[text]


def unit(embeddings: Tensor) -> Tensor:
    """Scaled to length 1, float32."""
    from torch.nn.functional import normalize

    return normalize(embeddings.float(), dim=-1)


def cosines(images: Tensor, texts: Tensor) -> list[float]:
    """Cosine of each row of one with the same row of the other, in float64."""
    values: list[float] = (images.double() * texts.double()).sum(dim=1).tolist()
    return values


def _preprocess(model: Any, mode: Mode | None) -> Preprocess:
    config = model.visual.preprocess_cfg
    size = config["size"]
    return Preprocess(
        size if isinstance(size, int) else size[0],
        tuple(config["mean"]),
        tuple(config["std"]),
        config["interpolation"],
        mode or config["resize_mode"],
    )


def _published(model: str, tag: str) -> Path:
    import open_clip

    try:
        with _silent():
            return Path(open_clip.download_pretrained(open_clip.get_pretrained_cfg(model, tag)))
    except (OSError, RuntimeError, ValueError) as error:
        line = " ".join(str(error).split())[:160]
        raise WeightsError(
            f"pretrained {tag}: weights of {model} are not in the cache and cannot be fetched ({line}); set pretrained "
            "to a file of them"
        ) from None


def _without_extras(found: dict[str, Tensor], model: Any) -> dict[str, Tensor]:
    """Published files have some buffers that models build by themselves."""
    wanted = model.state_dict().keys()
    extras = {"text.transformer.embeddings.position_ids", "input_resolution", "context_length", "vocab_size"}
    return {
        name.removeprefix("module."): value for name, value in found.items() if name in wanted or name not in extras
    }


@contextmanager
def _silent() -> Iterator[None]:
    """open_clip warns of weights that are not loaded and of the GELU, both of which are seen to here."""
    import logging

    logger, level = logging.getLogger(), logging.getLogger().level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
