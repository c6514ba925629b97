"""Decoders of latents: the checkpoint's own autoencoder, and a tiny one for predicted images."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tts.errors import SettingError, WeightsError
from tts.files.digests import sha256
from tts.files.hub import folder
from tts.models.checkpoint import check_filled, check_safetensors
from tts.quiet import quiet

if TYPE_CHECKING:
    import torch
    from torch import Tensor

WEIGHTS = re.compile(r"diffusion_pytorch_model(-\d+-of-\d+)?\.safetensors")


def decoder(vae: Any) -> Callable[[Tensor], Tensor]:
    """Clean latents ``[B, C, h, w]`` float32 to images ``[B, 3, H, W]`` in about [-1, 1]; undoes the latents' scale."""
    import torch

    config = vae.config
    mean, std = getattr(config, "latents_mean", None), getattr(config, "latents_std", None)
    shift = getattr(config, "shift_factor", None)

    def decode(x: Tensor) -> Tensor:
        x = x / config.scaling_factor
        if shift:
            x = x + shift
        if mean is not None and std is not None:
            x = x * torch.tensor(std, device=x.device).view(-1, 1, 1) + torch.tensor(mean, device=x.device).view(
                -1, 1, 1
            )
        images: Tensor = vae.decode(x.to(vae.dtype)).sample
        return images

    return decode


def tiny_folder(id: str) -> Path:
    """Folder of an ``AutoencoderTiny``, local or fetched from the hub."""
    return folder(id, ("config.json", "*.safetensors"), "preview")


def tiny_weights(id: str) -> list[str]:
    """Digests of its weights, after a look at each.

    Raises:
        WeightsError: they are missing or damaged.
    """
    files = [file for file in sorted(tiny_folder(id).glob("*")) if WEIGHTS.fullmatch(file.name)]
    if not files:
        raise WeightsError(f"preview {id}: has no safetensors weights of an AutoencoderTiny")
    for file in files:
        check_safetensors(file)
    return [sha256(file, "preview") for file in files]


def check_tiny(id: str, channels: int) -> None:
    """Look at its configuration.

    Raises:
        SettingError: it decodes latents of other channels.
    """
    try:
        found = json.loads((tiny_folder(id) / "config.json").read_text()).get("latent_channels", 4)
    except (OSError, ValueError, AttributeError) as error:
        raise WeightsError(f"preview {id}: its config.json cannot be read ({error})") from None
    if found != channels:
        raise SettingError(f"preview {id}: decodes latents of {found} channels, and this model's have {channels}")


def load_tiny(id: str, dtype: torch.dtype, device: str) -> Callable[[Tensor], Tensor]:
    """Its decoder.

    Raises:
        WeightsError: the weights are of another network.
    """
    from diffusers import AutoencoderTiny

    with quiet():
        try:
            vae = AutoencoderTiny.from_pretrained(tiny_folder(id), dtype=dtype, use_safetensors=True)
            check_filled(vae)
        except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
            raise WeightsError(f"preview {id}: cannot be loaded ({' '.join(str(error).split())[:300]})") from None
    return decoder(vae.to(device).eval().requires_grad_(False))
