"""Facts that files of open_clip weights do not hold: which GELU the network uses, and how images are prepared."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from tts.errors import SettingError, WeightsError, first_line
from tts.files.digests import sha256
from tts.rewards.preprocess import Mode
from tts.settings import Settings, nearest

Three = tuple[float, float, float]

FOLDER_KEYS = {"model_cfg", "preprocess_cfg"}
"""Keys of a folder's open_clip_config.json: open_clip builds the model from the first, this module reads the second."""
PREPROCESS_KEYS = {"size", "mode", "mean", "std", "interpolation", "resize_mode", "fill_color"}
"""Keys of ``preprocess_cfg``; ``size`` has no effect, as images get the size that the network takes."""
INTERPOLATIONS = ("bicubic", "bilinear", "random")
"""Those that open_clip knows."""
TOKENIZER_KEYS = {"clean", "strip_sep_token", "language", "additional_special_tokens"}
"""Keys of ``tokenizer_kwargs`` that only change texts and tokens; others name files, or let code of a folder run."""


class Preprocessing(Settings):
    """How images are prepared; a key that is left out keeps the weights' value."""

    mean: Three | None = None
    std: Three | None = None
    interpolation: Literal["bicubic", "bilinear"] | None = None
    resize_mode: Mode | None = None


@dataclass(frozen=True)
class Constants:
    """Facts about weights that their file does not hold.

    Args:
        quick_gelu: whether the encoders use OpenAI's approximate GELU; None: unknown.
        mean, std: normalisation of the three channels, for pixels in [0, 1].
        interpolation: ``bicubic`` or ``bilinear``.
        resize_mode: how images become squares; a mode of :class:`tts.rewards.preprocess.Preprocess`.
        fill: grey level of the padding, 0 to 255.
        told_by: where the facts come from, for messages.
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
        """These facts, with the values that a configuration sets."""
        return replace(self, **{name: value for name, value in given if value is not None})

    @property
    def text(self) -> str:
        """The preprocessing in words."""
        mean, std = (", ".join(f"{value:g}" for value in values) for values in (self.mean, self.std))
        return f"{self.interpolation}, {self.resize_mode}, mean {mean}, std {std}"


def clips_own(model: str) -> Constants:
    """The facts of an open_clip model whose weights are not known."""
    return _constants({}, model, "CLIP's own")


def of_tag(model: str, tag: str) -> Constants:
    """The facts of a tag of open_clip.

    Raises:
        SettingError: the model has no such tag.
    """
    tags = tags_of(model)
    if tag not in tags:
        raise SettingError(f"preprocessing = {tag}: no tag of {model}; {nearest(tag, tags)}, or give mean, std, ...")
    return _constants(_entry(model, tag), model, f"tag {tag}")


def of_file(model: str, path: Path, address: str) -> Constants:
    """The facts of a weights file for a named model: those of its tag if it is published, else those of all tags.

    A published file is recognised by its digest, if open_clip states one, and by its repository.

    Args:
        model: the model's name in open_clip.
        path: the file.
        address: the file as the configuration names it.
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
    """The facts that an open_clip_config.json states.

    Raises:
        WeightsError: it has a key whose effect is not known.
    """
    if not isinstance(config, Mapping) or not isinstance(config.get("model_cfg"), Mapping):
        raise WeightsError(f"{where}: is not a configuration of open_clip (it has no 'model_cfg')")
    prepare, text = config.get("preprocess_cfg") or {}, config["model_cfg"].get("text_cfg", {})
    words = text.get("tokenizer_kwargs", {}) if isinstance(text, Mapping) else None
    if not isinstance(prepare, Mapping) or not isinstance(words, Mapping):
        raise WeightsError(f"{where}: is not a configuration of open_clip (a part of it is no mapping)")
    if "reduction_mask" in words:
        raise WeightsError(
            f"{where}: its 'reduction_mask' cuts prompts at random or by kinds of words, which is not supported"
        )
    for given, known in ((config, FOLDER_KEYS), (prepare, PREPROCESS_KEYS), (words, TOKENIZER_KEYS)):
        for key in given:
            if key not in known:
                raise WeightsError(f"{where}: has '{key}', whose effect is unknown; remove it in a copy of the folder")
    if prepare.get("mode", "RGB") != "RGB":
        raise WeightsError(f"{where}: 'mode' is {prepare['mode']!r}, and only 'RGB' is supported")
    gelu = bool(config["model_cfg"].get("quick_gelu", False))
    told = "its configuration" if prepare else "CLIP's own"
    try:
        return replace(_constants(prepare, None, told), quick_gelu=gelu)
    except (TypeError, ValueError) as error:
        raise WeightsError(f"{where}: its 'preprocess_cfg' cannot be used ({first_line(error)})") from None


def tags_of(model: str) -> list[str]:
    """Tags of the weights that open_clip knows for a model."""
    import open_clip

    tags: list[str] = open_clip.list_pretrained_tags_by_model(model)
    return tags


def _entry(model: str, tag: str) -> dict[str, Any]:
    import open_clip

    found: dict[str, Any] = open_clip.get_pretrained_cfg(model, tag)
    return found


def _constants(entry: Mapping[str, Any], model: str | None, told_by: str) -> Constants:
    """The facts of an entry of open_clip; the model's configuration may ask for the approximate GELU, too."""
    import open_clip
    from open_clip.transform import PreprocessCfg

    config = open_clip.get_model_config(model) if model else {}
    base = PreprocessCfg()
    given = {**vars(base), **{key: value for key, value in entry.items() if value is not None}}
    for name, known in {"resize_mode": get_args(Mode), "interpolation": INTERPOLATIONS}.items():
        if given[name] not in known:
            raise ValueError(f"'{name}' is {given[name]!r}; known: {', '.join(known)}")
    if not min(_three(given["std"])) > 0:
        raise ValueError("'std' is not above 0")
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
    """A number for each channel; a single number stands for all."""
    first, second, third = value if isinstance(value, list | tuple) else (value,) * 3
    return float(first), float(second), float(third)


def _prepared(constants: Constants) -> tuple[Any, ...]:
    return constants.mean, constants.std, constants.interpolation, constants.resize_mode, constants.fill


def _known(model: str, path: Path, address: str) -> tuple[str | None, str]:
    """The tag of a weights file, and how it was recognised."""
    for tag in tags_of(model):
        entry = _entry(model, tag)
        if _is_from(entry.get("hf_hub", ""), address):
            return tag, "its repository"
        if (digits := _digits(entry.get("url", ""))) and sha256(path, "pretrained").startswith(digits):
            return tag, "its digest"
    return None, ""


def _is_from(hub: str, address: str) -> bool:
    """Whether an ``hf-hub:`` address, or a path in the hub's cache, belongs to a repository of the hub."""
    repository = "/".join(hub.split("/")[:2])
    cached = f"/models--{repository.replace('/', '--')}/snapshots/"
    return bool(repository) and (address.startswith(f"hf-hub:{repository}/") or cached in address)


def _digits(url: str) -> str:
    """First digits of the SHA-256 that an address of published weights contains; empty without one."""
    if "openaipublic" in url:
        return url.split("/")[-2]
    found = re.search(r"mlfoundations/.*-([0-9a-f]{8,64})\.pt$", url)
    return found[1] if found else ""
