"""Check that the configurations of a checkpoint's parts agree, where no library would refuse them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tts.errors import WeightsError

STATISTICS = ("latents_mean", "latents_std")
CLIP_DEFAULTS = {"max_position_embeddings": 77, "hidden_size": 512, "projection_dim": 512}
"""Defaults of transformers' ``CLIPTextConfig``, for configurations that leave them out."""


def check_latents(vae: Mapping[str, Any]) -> None:
    """Check that scale, mean and deviation of latents can be inverted.

    Raises:
        WeightsError: they cannot.
    """
    scale = vae.get("scaling_factor", 1.0)
    if isinstance(scale, bool) or not isinstance(scale, int | float) or not math.isfinite(scale) or scale <= 0:
        raise WeightsError(f"its vae's scaling_factor is {scale!r}, no number above 0; set another id")
    statistics = [vae.get(name) for name in STATISTICS]
    if any(statistics) and not all(statistics):
        raise WeightsError("its vae has latents_mean or latents_std alone; set another id")
    channels = vae.get("latent_channels", vae.get("z_dim"))
    if any(statistics) and any(len(values or ()) != channels for values in statistics):
        raise WeightsError(f"its vae's latents_mean and latents_std are not of {channels} channels; set another id")


def check_length(tokenizer: Mapping[str, Any], text: Mapping[str, Any], name: str) -> None:
    """Check that a CLIP tokenizer pads prompts to a length that its text encoder can read.

    Args:
        tokenizer, text: the configurations of the tokenizer and of the text encoder.
        name: the tokenizer's name in the checkpoint, for the message.

    Raises:
        WeightsError: the length is too long.
    """
    reads, length = _clip(text, "max_position_embeddings"), tokenizer.get("model_max_length")
    if type(length) is not int or not 2 < length <= reads:
        raise WeightsError(
            f"its {name}'s model_max_length is {length}, and its text encoder reads {reads} tokens; set it to {reads} "
            "in a copy, and id to that folder"
        )


def check_widths(unet: Mapping[str, Any], texts: Sequence[Mapping[str, Any]]) -> None:
    """Check that a UNet attends to embeddings of the width of its text encoders' outputs, concatenated.

    Raises:
        WeightsError: the widths differ.
    """
    wide, wanted = sum(_clip(text, "hidden_size") for text in texts), unet.get("cross_attention_dim", 1280)
    if unet.get("encoder_hid_dim") is None and type(wanted) is int and wanted != wide:
        raise WeightsError(f"its unet reads prompts of {wanted} numbers a token, and its text encoders give {wide}")


def check_sizes_told(unet: Mapping[str, Any], text: Mapping[str, Any]) -> None:
    """Check that SDXL's UNet takes six numbers and the second text encoder's pooled prompt.

    Raises:
        WeightsError: it takes other inputs.
    """
    found, width = unet.get("projection_class_embeddings_input_dim"), unet.get("addition_time_embed_dim")
    told = 6 * (width or 0) + _clip(text, "projection_dim")
    if found != told:
        raise WeightsError(
            f"its unet is told {found} numbers beside its prompt, and six sizes and a pooled prompt are {told}; a "
            "refiner, or another network: set another id"
        )


def _clip(text: Mapping[str, Any], name: str) -> int:
    return int(text.get(name, CLIP_DEFAULTS[name]))
