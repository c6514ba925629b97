"""Decoders of latents: the checkpoint's own autoencoder, and a tiny one for predicted images."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
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

WEIGHTS = re.compile(r"diffusion_pytorch_model(-\d+-of-\d+)?\.safetensors")


def decoder(vae: Any) -> Callable[[Tensor], Tensor]:
    """Clean latents ``[B, C, h, w]`` float32 to images ``[B, 3, H, W]`` in about [-1, 1]; undoes their scaling."""
    from tts.networks.constants import constants

    config = vae.config
    mean, std = getattr(config, "latents_mean", None), getattr(config, "latents_std", None)
    shift = getattr(config, "shift_factor", None)

    def decode(x: Tensor) -> Tensor:
        x = x / config.scaling_factor
        if shift:
            x = x + shift
        if mean is not None and std is not None:
            scale, offset = (constants(tuple(each), x.device).view(-1, 1, 1) for each in (std, mean))
            x = x * scale + offset
        images: Tensor = vae.decode(x.to(vae.dtype)).sample
        return images

    return decode


def film_decoder(vae: Any) -> Callable[[Tensor], Tensor]:
    """:func:`decoder` of a video autoencoder, whose latents are normalised per channel; decodes one frame."""
    from tts.networks.constants import constants

    mean, std = (tuple(vae.config[name]) for name in ("latents_mean", "latents_std"))

    def decode(x: Tensor) -> Tensor:
        scale, offset = (constants(each, x.device).view(-1, 1, 1, 1) for each in (std, mean))
        images: Tensor = vae.decode((x[:, :, None] * scale + offset).to(vae.dtype)).sample[:, :, 0]
        return images

    return decode


def normalised_decoder(vae: Any) -> Callable[[Tensor], Tensor]:
    """:func:`decoder` of latents with 2x2 cells as channels, ``[B, 4C, h/2, w/2]``, normalised by the autoencoder."""

    def decode(x: Tensor) -> Tensor:
        std = (vae.bn.running_var.float() + vae.config.batch_norm_eps).sqrt().view(-1, 1, 1)
        cells = x * std + vae.bn.running_mean.float().view(-1, 1, 1)
        rows, channels, height, width = cells.shape
        cells = cells.view(rows, channels // 4, 2, 2, height, width).permute(0, 1, 4, 2, 5, 3)
        images: Tensor = vae.decode(cells.reshape(rows, channels // 4, 2 * height, 2 * width).to(vae.dtype)).sample
        return images

    return decode


@dataclass(frozen=True)
class Lone:
    """An autoencoder in a folder of its own, outside a pipeline.

    Args:
        id: local folder, or name of a repository on the hub.
        kind: its class in diffusers.
        setting: the setting that named it, for messages.
    """

    id: str
    kind: str
    setting: str

    @property
    def folder(self) -> Path:
        """Its folder; it is downloaded from the hub if needed."""
        return folder(self.id, ("config.json", "*.safetensors"), self.setting)

    def weights(self) -> list[str]:
        """Digests of its weights, each checked by its header.

        Raises:
            WeightsError: they are missing or damaged.
        """
        files = [file for file in sorted(self.folder.glob("*")) if WEIGHTS.fullmatch(file.name)]
        if not files:
            raise WeightsError(f"{self.setting} {self.id}: has no safetensors weights of an {self.kind}")
        for file in files:
            check_safetensors(file)
        return [sha256(file, self.setting) for file in files]

    def config(self) -> dict[str, Any]:
        """Its configuration.

        Raises:
            WeightsError: it is missing, of another class, or has an unsupported value.
        """
        named = ("diffusers", self.kind)
        try:
            found: dict[str, Any] = json.loads((self.folder / "config.json").read_text())
            kind = found.get("_class_name", self.kind)
            if kind == self.kind:
                check_keys("config.json", {**defaults_of(named, self.kind), **found}, table_of(named, self.kind))
        except WeightsError as error:
            raise WeightsError(f"{self.setting} {self.id}: {error}") from None
        except (OSError, ValueError, AttributeError, TypeError, RecursionError) as error:
            raise WeightsError(f"{self.setting} {self.id}: its config.json cannot be read ({error})") from None
        if kind != self.kind:
            raise WeightsError(f"{self.setting} {self.id}: holds {kind}, not {self.kind}")
        return found

    @property
    def factor(self) -> int:
        """Pixels along a side of a latent's cell."""
        config = self.config()
        if self.kind == "AutoencoderTiny":
            levels = len(config.get("decoder_block_out_channels", range(4)))
            return int(config.get("upsampling_scaling_factor", 2) ** (levels - 1))
        return int(2 ** (len(config.get("block_out_channels", (0,))) - 1))

    def check(self, channels: int, factor: int) -> None:
        """Check its configuration.

        Args:
            channels: channels of the model's latents.
            factor: pixels along a side of a latent's cell.

        Raises:
            SettingError: it decodes other latents, or to images of another size.
            WeightsError: its configuration has an unsupported value.
        """
        found = self.config().get("latent_channels", 4)
        if found != channels:
            raise SettingError(
                f"{self.setting} {self.id}: decodes latents of {found} channels, but this model's have {channels}"
            )
        if (larger := self.factor) != factor:
            raise SettingError(
                f"{self.setting} {self.id}: draws {larger} pixels per side of a cell, but this model's images have "
                f"{factor}"
            )

    def load(self, dtype: torch.dtype, device: str) -> Any:
        """The autoencoder on a device.

        Raises:
            WeightsError: the weights are for another network.
        """
        from tts.networks.placing import place

        with quiet():
            try:
                vae: Any = load_part(self.folder, ("diffusers", self.kind), None, dtype)
            except (WeightsError, OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
                text = " ".join(str(error).split())
                raise WeightsError(f"{self.setting} {self.id}: cannot be loaded ({text[:300]})") from None
        return place(vae, device)


def tiny(id: str) -> Lone:
    """A small autoencoder that decodes predicted images."""
    return Lone(id, "AutoencoderTiny", "preview")
