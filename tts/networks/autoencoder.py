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
from tts.models.built_keys import defaults_of, table_of
from tts.models.checkpoint import check_safetensors
from tts.models.config_keys import check_keys
from tts.models.parts import load_part
from tts.quiet import quiet

if TYPE_CHECKING:
    import torch
    from torch import Tensor

TINY = ("diffusers", "AutoencoderTiny")
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


def film_decoder(vae: Any) -> Callable[[Tensor], Tensor]:
    """:func:`decoder` of an autoencoder of films, whose latents are normalised by channel; a film of one image."""
    import torch

    mean, std = (torch.tensor(vae.config[name]).view(-1, 1, 1, 1) for name in ("latents_mean", "latents_std"))

    def decode(x: Tensor) -> Tensor:
        latents = x[:, :, None] * std.to(x.device) + mean.to(x.device)
        images: Tensor = vae.decode(latents.to(vae.dtype)).sample[:, :, 0]
        return images

    return decode


def normalised_decoder(vae: Any) -> Callable[[Tensor], Tensor]:
    """:func:`decoder` of 2x2 cells as channels, ``[B, 4C, h/2, w/2]``, which a layer of the autoencoder normalised."""

    def decode(x: Tensor) -> Tensor:
        std = (vae.bn.running_var.float() + vae.config.batch_norm_eps).sqrt().view(-1, 1, 1)
        cells = x * std + vae.bn.running_mean.float().view(-1, 1, 1)
        rows, channels, height, width = cells.shape
        cells = cells.view(rows, channels // 4, 2, 2, height, width).permute(0, 1, 4, 2, 5, 3)
        images: Tensor = vae.decode(cells.reshape(rows, channels // 4, 2 * height, 2 * width).to(vae.dtype)).sample
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


def check_tiny(id: str, channels: int, factor: int) -> None:
    """Look at its configuration.

    Args:
        channels: of the model's latents.
        factor: pixels along a side of their cells.

    Raises:
        SettingError: it decodes other latents, or to images of another size.
        WeightsError: it asks for what is not done here.
    """
    try:
        config = json.loads((tiny_folder(id) / "config.json").read_text())
        check_keys("config.json", {**defaults_of(TINY, TINY[1]), **config}, table_of(TINY, TINY[1]))
        found, levels = config.get("latent_channels", 4), len(config.get("decoder_block_out_channels", range(4)))
    except WeightsError as error:
        raise WeightsError(f"preview {id}: {error}") from None
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise WeightsError(f"preview {id}: its config.json cannot be read ({error})") from None
    if found != channels:
        raise SettingError(f"preview {id}: decodes latents of {found} channels, and this model's have {channels}")
    if (larger := int(config.get("upsampling_scaling_factor", 2)) ** (levels - 1)) != factor:
        raise SettingError(
            f"preview {id}: makes {larger} pixels of a cell's side, and this model's images have {factor}"
        )


def load_tiny(id: str, dtype: torch.dtype, device: str) -> Callable[[Tensor], Tensor]:
    """Its decoder.

    Raises:
        WeightsError: the weights are of another network.
    """
    from tts.networks.placing import place

    with quiet():
        try:
            vae: Any = load_part(tiny_folder(id), TINY, None, dtype)
        except (WeightsError, OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
            raise WeightsError(f"preview {id}: cannot be loaded ({' '.join(str(error).split())[:300]})") from None
    return decoder(place(vae, device))
