"""EDM2's networks (Karras et al. 2024, arXiv 2312.02696), from NVIDIA's published pickles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import Field

from tts import media
from tts.errors import WeightsError
from tts.files.edm_pickle import Checkpoint, read
from tts.models.addresses import FileOrAddress
from tts.models.base import Model
from tts.models.edm import EDM, Form
from tts.models.pixel_edm import PixelEDM
from tts.precision import dtype
from tts.samplers.heun import StochasticHeun
from tts.samplers.schedules import Sigmas
from tts.samplers.settings import HeunByDefault
from tts.settings import parse

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tts.networks.autoencoder import Lone
    from tts.networks.edm2_shape import EDM2Shape

PUBLISHED = "https://nvlabs-fi-cdn.nvidia.com/edm2/posthoc-reconstructions/edm2-img512-s-2147483-0.130.pkl"
"""EDM2-S on latents of ImageNet at 512x512."""

VAE = "stabilityai/sd-vae-ft-mse"
PIXELS, LATENTS = "StandardRGBEncoder", "StabilityVAEEncoder"
"""Class names of the encoders that made the training data of published networks: of pixels, and of latents."""


@dataclass(frozen=True)
class Standardised:
    """Latents as a network sees them: ``x = scale z + bias`` in each channel, with an autoencoder's own latent z."""

    scale: tuple[float, ...]
    bias: tuple[float, ...]
    vae: str


class EDM2(EDM):
    """EDM2's networks on latents or pixels, from NVIDIA's pickles: ImageNet at 512x512 by default."""

    checkpoint: FileOrAddress = Field(
        PUBLISHED, description="pickle of EDM2's Precond: a file, or an address that is downloaded once"
    )
    sampler: HeunByDefault = Field(
        default_factory=lambda: StochasticHeun(steps=32), description="the sampler: {name: heun, steps: 32, ...}"
    )
    vae: str = Field(VAE, description="AutoencoderKL (folder or hub name) of a network on latents")
    preview: str | None = Field(
        None, description="AutoencoderTiny (folder or hub name) for predicted images; final ones never use it"
    )

    def check(self) -> None:
        """Read the whole checkpoint and autoguidance's weaker one, and check the decoders; raises a ``TTSError``."""
        super().check()
        if self._latents() is None:
            return
        for part in self._decoders():
            part.weights()
            part.check(4, self._decoders()[0].factor)

    def identity(self) -> dict[str, Any]:
        """Sampler, precision, and the digests of all weights, not their paths."""
        parts = {} if self._latents() is None else {part.setting: part.weights() for part in self._decoders()}
        return {**super().identity(), **parts}

    def load(self, device: str = "cpu") -> Model:
        """The denoiser on a device, in the precision of its settings, with the decoder of its latents."""
        if (latents := self._latents()) is None:
            return super().load(device)
        from tts.networks import autoencoder

        denoiser, shape, guidance = self._guided(device)
        vae, *tiny = (part.load(dtype(self.precision), device) for part in self._decoders())
        preview = autoencoder.decoder(tiny[0]) if tiny else None
        size = (shape.in_channels, *[shape.img_resolution] * 2)
        found = PixelEDM(denoiser, self.sampler.on(Sigmas()), size, device, guidance)
        return LatentEDM(found, latents, vae, preview)

    def _decoders(self) -> list[Lone]:
        from tts.networks.autoencoder import Lone, tiny

        return [Lone(self.vae, "AutoencoderKL", "vae"), *([] if self.preview is None else [tiny(self.preview)])]

    def _latents(self) -> Standardised | None:
        """The scale and bias of latents that the checkpoint states; None: its states are images.

        Raises:
            WeightsError: its states are neither latents nor images.
        """
        encoder = read(self.path).encoder
        kind = encoder.get("class_name", PIXELS)
        if kind not in (PIXELS, LATENTS):
            raise WeightsError(
                f"checkpoint {self.path}: its states are made by a {kind}; {PIXELS}, {LATENTS} are known"
            )
        if kind == PIXELS:
            return None
        vae = str(encoder.get("vae_name", VAE))
        if self.vae == VAE != vae:
            raise WeightsError(f"checkpoint {self.path}: is on latents of {vae!r}; set vae to a copy of it")
        scale, bias = (tuple(float(number) for number in encoder[name]) for name in ("scale", "bias"))
        return Standardised(scale, bias, vae)

    def _form(self, found: Checkpoint) -> Form:
        from tts.networks.edm2_shape import EDM2Shape

        if found.architecture != "UNet":
            raise WeightsError(f"its network is a {found.architecture}, EDM's; set name: edm")
        shape = parse(EDM2Shape, found.arguments, "its UNet's arguments")
        self._compare(shape)
        check_blocks(found, shape)

        def build() -> nn.Module:
            from tts.networks.edm2 import EDM2 as Network

            return Network(shape, found.tensors)

        return shape, build


def check_blocks(found: Checkpoint, shape: EDM2Shape) -> None:
    """Check that the constants kept in a network's blocks equal those of its arguments.

    Raises:
        WeightsError: they differ.
    """
    wanted = {name: getattr(shape, name) for name in ("res_balance", "attn_balance", "clip_act")}
    for module in found.modules:
        for name, value in wanted.items() if module.class_name == "Block" else ():
            if (has := module.numbers.get(name, value)) != value:
                raise WeightsError(f"its '{module.name}' has {name} = {has:g}, and its arguments say {value}")


class LatentEDM(PixelEDM):
    """An EDM denoiser on standardised latents; see :class:`tts.models.pixel_edm.PixelEDM`.

    Args:
        on: the same denoiser as a model on pixels; all but its decoder is used.
        latents: scale and bias of the states.
        vae: decodes an autoencoder's own latents to images in [0, 1].
        preview: cheaper decoder of scaled latents to images in [-1, 1], for predicted images.
    """

    def __init__(
        self, on: PixelEDM, latents: Standardised, vae: Any, preview: Callable[[Tensor], Tensor] | None
    ) -> None:
        super().__init__(on.denoiser, on.sampler, on.shape, on.device, on.guidance)
        self.latents, self.vae, self.preview, self.previews = latents, vae, preview, preview is not None

    def decode(self, x: Tensor, preview: bool = False) -> media.Media:
        """Clean states as images, rounded to the nearest level; published programs round down."""
        from tts.networks.constants import constants

        scale, bias = (constants(each, x.device).view(-1, 1, 1) for each in (self.latents.scale, self.latents.bias))
        z = (x - bias) / scale
        if preview and self.preview is not None:
            return media.quantised_as_diffusers(2 * self.preview(z * self.vae.config.scaling_factor).float() - 1)
        return media.quantised_as_diffusers(2 * self.vae.decode(z.to(self.vae.dtype)).sample.float() - 1)
