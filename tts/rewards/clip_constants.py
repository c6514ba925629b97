"""What weights of open_clip's models do not say themselves: which GELU they have, and how images were prepared."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from tts.errors import SettingError, WeightsError
from tts.files.digests import sha256
from tts.rewards.preprocess import Mode
from tts.settings import Settings, nearest

Three = tuple[float, float, float]

FOLDER_KEYS = {"model_cfg", "preprocess_cfg"}
"""Of a folder's open_clip_config.json: what open_clip builds a model of, and what is read here."""
PREPROCESS_KEYS = {"size", "mode", "mean", "std", "interpolation", "resize_mode", "fill_color"}
"""Of ``preprocess_cfg``; ``size`` has no effect, as images have the size that the network takes."""


class Preprocessing(Settings):
    """How images are prepared; what is left out is as for the weights."""

    mean: Three | None = None
    std: Three | None = None
    interpolation: Literal["bicubic", "bilinear"] | None = None
    resize_mode: Mode | None = None


@dataclass(frozen=True)
class Constants:
    """What belongs to weights and does not stand in them.

    Args:
        quick_gelu: whether the encoders have OpenAI's approximate GELU; None: the weights may have either.
        mean, std: of the channels of pixels in [0, 1].
        interpolation: ``bicubic`` or ``bilinear``.
        resize_mode: how images become squares, as :class:`tts.rewards.preprocess.Preprocess` has it.
        fill: grey of what is padded, 0 to 255.
        told_by: how they are known, for people.
    """

    quick_gelu: bool | None
    mean: Three
    std: Three
    interpolation: str
    resize_mode: Mode
    fill: int = 0
    told_by: str = ""

    @property
    def preprocessing(self) -> dict[str, Any]:
        """All but the GELU, as plain JSON values."""
        found: dict[str, Any] = {"mean": list(self.mean), "std": list(self.std)}
        found |= {"interpolation": self.interpolation, "resize_mode": self.resize_mode}
        return {**found, "fill_color": self.fill} if self.fill else found

    def changed(self, given: Preprocessing) -> Constants:
        """With what a configuration gives."""
        return replace(self, **{name: value for name, value in given if value is not None})

    @property
    def text(self) -> str:
        """The preprocessing in words."""
        mean, std = (", ".join(f"{value:g}" for value in values) for values in (self.mean, self.std))
        return f"{self.interpolation}, {self.resize_mode}, mean {mean}, std {std}"


def clips_own(model: str) -> Constants:
    """Those that a model of open_clip has before it is told of weights."""
    return _constants({}, model, "CLIP's own")


def of_tag(model: str, tag: str) -> Constants:
    """Those of a tag of open_clip's.

    Raises:
        SettingError: the model has no such tag.
    """
    tags = tags_of(model)
    if tag not in tags:
        raise SettingError(f"preprocessing = {tag}: no tag of {model}; {nearest(tag, tags)}, or give mean, std, ...")
    return _constants(_entry(model, tag), model, f"tag {tag}")


def of_file(model: str, path: Path, address: str) -> Constants:
    """Those of a file of weights of a named model: of the tag that it is, else what all tags of the model share.

    A file is known by its digest where open_clip states one, and by the repository that it is from.

    Args:
        address: what the configuration calls the file.
    """
    tag, how = _known(model, path, address)
    if tag is not None:
        return replace(of_tag(model, tag), told_by=f"tag {tag} ({how})")
    every = [of_tag(model, tag) for tag in tags_of(model)]
    gelus = {constants.quick_gelu for constants in every} or {clips_own(model).quick_gelu}
    alike = {_prepared(constants) for constants in every}
    base = every[0] if len(alike) == 1 else clips_own(model)
    told = f"all tags of {model}" if len(alike) == 1 else "CLIP's own"
    return replace(base, quick_gelu=gelus.pop() if len(gelus) == 1 else None, told_by=told)


def of_folder(config: Any, where: str) -> Constants:
    """Those that an open_clip_config.json states.

    Raises:
        WeightsError: it has a key whose effect is not known.
    """
    if not isinstance(config, Mapping) or not isinstance(config.get("model_cfg"), Mapping):
        raise WeightsError(f"{where}: is no configuration of open_clip (it has no 'model_cfg')")
    prepare = config.get("preprocess_cfg") or {}
    for given, known in ((config, FOLDER_KEYS), (prepare, PREPROCESS_KEYS)):
        for key in given:
            if key not in known:
                raise WeightsError(f"{where}: has '{key}', whose effect is not known here; take it out of a copy")
    if prepare.get("mode", "RGB") != "RGB":
        raise WeightsError(f"{where}: images are prepared as {prepare['mode']!r}, which only RGB can be here")
    if "reduction_mask" in config["model_cfg"].get("text_cfg", {}).get("tokenizer_kwargs", {}):
        raise WeightsError(
            f"{where}: its 'reduction_mask' cuts prompts by chance or by their words' kinds; not done here"
        )
    gelu = bool(config["model_cfg"].get("quick_gelu", False))
    told = "its configuration" if prepare else "CLIP's own"
    return replace(_constants(prepare, None, told), quick_gelu=gelu)


def tags_of(model: str) -> list[str]:
    """Tags of the weights that open_clip knows of a model."""
    import open_clip

    tags: list[str] = open_clip.list_pretrained_tags_by_model(model)
    return tags


def _entry(model: str, tag: str) -> dict[str, Any]:
    import open_clip

    found: dict[str, Any] = open_clip.get_pretrained_cfg(model, tag)
    return found


def _constants(entry: Mapping[str, Any], model: str | None, told_by: str) -> Constants:
    """Those of an entry of open_clip's; the model's configuration, too, may ask for the approximate GELU."""
    import open_clip
    from open_clip.transform import PreprocessCfg

    config = open_clip.get_model_config(model) if model else {}
    base = PreprocessCfg()
    given = {**vars(base), **{key: value for key, value in entry.items() if value is not None}}
    return Constants(
        bool(entry.get("quick_gelu", False) or config.get("quick_gelu", False)),
        _three(given["mean"]),
        _three(given["std"]),
        "bilinear" if given["interpolation"] == "bilinear" else "bicubic",  # open_clip's random one is for training
        given["resize_mode"],
        int(given["fill_color"]),
        told_by,
    )


def _three(value: Any) -> Three:
    """A number for each channel; one stands for all."""
    first, second, third = value if isinstance(value, list | tuple) else (value,) * 3
    return float(first), float(second), float(third)


def _prepared(constants: Constants) -> tuple[Any, ...]:
    return constants.mean, constants.std, constants.interpolation, constants.resize_mode, constants.fill


def _known(model: str, path: Path, address: str) -> tuple[str | None, str]:
    """The tag that a file is, and how that is known."""
    for tag in tags_of(model):
        entry = _entry(model, tag)
        if _is_from(entry.get("hf_hub", ""), address):
            return tag, "its repository"
        if (digits := _digits(entry.get("url", ""))) and sha256(path, "pretrained").startswith(digits):
            return tag, "its digest"
    return None, ""


def _is_from(hub: str, address: str) -> bool:
    """Whether an ``hf-hub:`` address, or a path in the hub's cache, is in a repository of the hub."""
    repository = "/".join(hub.split("/")[:2])
    cached = f"/models--{repository.replace('/', '--')}/snapshots/"
    return bool(repository) and (address.startswith(f"hf-hub:{repository}/") or cached in address)


def _digits(url: str) -> str:
    """First digits of the SHA-256 that an address of published weights states, if it does."""
    if "openaipublic" in url:
        return url.split("/")[-2]
    found = re.search(r"mlfoundations/.*-([0-9a-f]{8,64})\.pt$", url)
    return found[1] if found else ""
