"""What a single file of weights holds, by the names of its tensors; their values are not read."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tts.errors import WeightsError

UNET = "model.diffusion_model."
WORDS = {"unet": "UNet", "vae": "VAE", "text_encoder": "text encoder", "text_encoder_2": "second text encoder"}
PREFIXES = {"unet": UNET + "input_blocks.", "vae": "first_stage_model."}
"""Prefixes of the parts of a whole checkpoint, in the form of its authors."""
ENCODERS = {
    "Stable Diffusion 1.x or 2.x": {"text_encoder": "cond_stage_model."},
    "SDXL": {"text_encoder": "conditioner.embedders.0.", "text_encoder_2": "conditioner.embedders.1."},
}
"""Prefixes of text encoders, by family."""

ADDED = (
    (r"(^|[._])lora[._]|\.lora_(up|down|A|B)\.|\.(hada|lokr)_w", "a LoRA"),
    (r"^control_model\.|^controlnet_|\.controlnet_cond_embedding\.", "a ControlNet"),
    (r"^(emb_params|string_to_param\.|clip_[lg]$)", "a textual inversion"),
)
"""Files that only add to a checkpoint: a pattern of a tensor's name, and the kind in words."""
OTHERS: tuple[tuple[str, str, str], ...] = (
    *((pattern, what, "") for pattern, what in ADDED),
    (r"^input_blocks\.", "a UNet without its prefix", "unet"),
    (r"^(down_blocks|up_blocks)\..*(attentions|resnets)\.", "a UNet in diffusers' form", "unet"),
    (r"^(encoder|decoder)\.(down|up|mid)(_block)?s?\.", "a VAE alone", "vae"),
    (r"^(transformer\.)?(text_model\.)?embeddings\.token_embedding\.", "a text encoder alone", "text_encoder"),
    (r"^(model\.)?token_embedding\.", "a text encoder alone", "text_encoder"),
    (r"^(model\.diffusion_model\.)?(double_blocks|joint_blocks|(single_)?transformer_blocks)\.", "a transformer", ""),
)
"""Other kinds of files: a pattern of a tensor's name, the kind in words, and its part; the first match counts."""


EMA = "model_ema."
"""Prefix of averages of the UNet's weights over its training, which some files hold beside the weights."""
ALPHAS = "alphas_cumprod"
PREDICTIONS = {"v": "v_prediction", "v_prediction": "v_prediction", "epsilon": "epsilon"}
"""Kinds of prediction: the names in notes of files, and the names in schedulers."""
BESIDE = re.compile(r"first_stage_model\.(loss|model_ema)\.")
"""Names of tensors with a part's prefix that only training needs."""


@dataclass(frozen=True)
class Contents:
    """What a safetensors file says about itself.

    Args:
        names: names of its tensors; some tensors are only marks.
        notes: its metadata, which some programs write.
        alphas: signal level of every time step, which the authors' own program keeps among the weights.
    """

    names: tuple[str, ...]
    notes: Mapping[str, str] = field(default_factory=dict)
    alphas: tuple[float, ...] = ()

    @property
    def prediction(self) -> str | None:
        """What the UNet predicts, if the file says so; else None."""
        named = self.notes.get("modelspec.prediction_type", "")
        if not named and self.notes.get("modelspec.architecture", "").endswith("-v"):
            named = "v"
        return PREDICTIONS.get("v" if "v_pred" in self.names else named)


def contents_of(path: Path) -> Contents:
    """Read a file's names, notes and signal levels; no other tensor is read."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        names = tuple(sorted(file.keys()))
        alphas = tuple(file.get_tensor(ALPHAS).double().flatten().tolist()) if ALPHAS in names else ()
        return Contents(names, file.metadata() or {}, alphas)


def check_count(names: Collection[str], sizes: Mapping[str, int]) -> None:
    """Refuse a file with more or fewer tensors than its networks have; diffusers does not report them.

    Args:
        names: names of its tensors.
        sizes: number of tensors of each part's network, by the configuration that the file is used with.

    Raises:
        WeightsError: the numbers differ.
    """
    for part, prefix in PREFIXES.items():
        whole = prefix.removesuffix("input_blocks.")
        found = sum(name.startswith(whole) and not BESIDE.match(name) for name in names)
        if found != sizes[part]:
            raise WeightsError(
                f"has {found} tensors of a {WORDS[part]}, and the one of id has {sizes[part]}; set another id"
            )


def check_whole(names: Collection[str], components: Collection[str]) -> None:
    """Refuse a file that lacks a part.

    Args:
        names: names of its tensors.
        components: parts that it must hold: ``unet``, ``vae``, ``text_encoder``, ``text_encoder_2``.

    Raises:
        WeightsError: it lacks a part; the message says what it holds, and what is missing.
    """
    family = "SDXL" if "text_encoder_2" in components else "Stable Diffusion 1.x or 2.x"
    prefixes = {**PREFIXES, **ENCODERS[family]}
    missing = [part for part in components if not _any(names, prefixes[part])]
    if missing:
        what, part = contents(names)
        lacking = " and ".join(f"no {WORDS[each]}" for each in missing if each != part)
        remedy = "name a file with all parts in their authors' form"
        raise WeightsError(f"holds {what}, but {lacking} of {family}; {remedy}")


def check_form(
    file: Contents, unet: Mapping[str, Any], scheduler: Mapping[str, Any], alphas: Sequence[float] = ()
) -> None:
    """Refuse a file whose statements about its UNet contradict the configurations that it is used with.

    Args:
        file: the file's statements.
        unet, scheduler: the configurations.
        alphas: signal level of every time step of that scheduler.

    Raises:
        WeightsError: they do not belong together.
    """
    names = file.names
    if "edm_mean" in names or any(name.startswith("edm_vpred.") for name in names):
        raise WeightsError("its UNet is told noise levels of EDM, which no schedule of betas has")
    for pattern, what in ADDED:
        if any(re.search(pattern, name) for name in names):
            raise WeightsError(f"holds {what} beside its parts, which would be left out; name a file that is merged")
    predicts = scheduler.get("prediction_type", "epsilon")
    if file.prediction not in (None, predicts):
        raise WeightsError(
            f"its UNet predicts '{file.prediction}', and the scheduler beside id says '{predicts}'; set another id"
        )
    if file.alphas and not _alike(file.alphas, alphas):
        raise WeightsError(f"its '{ALPHAS}' are not those of the scheduler beside id; set another id")
    if "ztsnr" in names and not scheduler.get("rescale_betas_zero_snr"):
        raise WeightsError(
            "its UNet was trained without signal at the first step, and the scheduler beside id has no "
            "rescale_betas_zero_snr; set another id"
        )
    embeds = UNET + "time_embed.cond_proj.weight" in names
    if embeds != (unet.get("time_cond_proj_dim") is not None):
        which = ("its UNet", "the one of id") if embeds else ("the UNet of id", "its own")
        raise WeightsError(f"{which[0]} is told the scale of guidance, and {which[1]} is not; set another id")


def contents(names: Collection[str]) -> tuple[str, str]:
    """What a file holds, in words; and the name of the part, if it is a single part in another form."""
    parts = [f"a {WORDS[part]}" for part, prefix in PREFIXES.items() if _any(names, prefix)]
    for family, encoders in ENCODERS.items():
        parts += [f"the {WORDS[part]} of {family}" for part, prefix in encoders.items() if _any(names, prefix)]
    if parts:
        return " and ".join(parts), ""
    for pattern, what, part in OTHERS:
        if any(re.search(pattern, name) for name in names):
            return what, part
    shown = ", ".join(f"'{name[:60]}'" for name in sorted(names)[:2])
    return f"other tensors ({len(names)}: {shown}{', ...' if len(names) > 2 else ''})", ""


def _alike(some: Sequence[float], others: Sequence[float]) -> bool:
    """Whether the levels are equal up to the rounding of half precision."""
    return len(some) == len(others) and all(abs(a - b) < 2e-3 for a, b in zip(some, others, strict=True))


def _any(names: Collection[str], prefix: str) -> bool:
    return any(name.startswith(prefix) for name in names)
