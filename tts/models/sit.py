"""SiT and REPA on ImageNet's classes (Ma et al. 2024, arXiv 2401.08740; Yu et al. 2025, arXiv 2410.06940).

Both share one network. They differ in the direction of time (SiT's runs from noise to image, REPA's from image to
noise), in the sign of the velocity, and in the channels of a latent that are guided: SiT's first three, all of REPA's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pydantic import Field, model_validator

from tts.errors import WeightsError
from tts.files.digests import sha256
from tts.files.locate import locate
from tts.models.addresses import Digest, FileOrAddress
from tts.models.base import Model, ModelSettings
from tts.models.classes import OfClasses
from tts.models.flow import FlowDenoiser, stepped
from tts.models.guidance import Guidance, PartlyFree, Unguided
from tts.models.latent import LatentModel
from tts.networks import autoencoder
from tts.plan import Condition, Plan
from tts.precision import Precision, dtype
from tts.samplers.schedules import FlowLevels
from tts.samplers.settings import InterpolantByDefault

if TYPE_CHECKING:
    from torch import Tensor

    from tts.networks import sit
    from tts.samplers.base import Sampler

PUBLISHED = "https://huggingface.co/nyu-visionx/SiT-collections/resolve/main/SiT-XL-2-256.pt"
"""SiT-XL/2 for images of 256x256, on the hub."""

Convention: TypeAlias = Literal["sit", "repa"]


@dataclass(frozen=True)
class EvenLevels(FlowLevels):
    """Even levels from 1 to 0; or from 1 to ``last``, then 0, as published SDEs end with a step of another kind."""

    last: float | None = None

    def levels(self, steps: int) -> tuple[float, ...]:
        """``steps + 1`` falling levels: the level before each step, then 0."""
        if self.last is None:
            return tuple(1 - k / steps for k in range(steps + 1))
        return (*(1 - k * (1 - self.last) / max(1, steps - 1) for k in range(steps)), 0.0)


class SiT(OfClasses, ModelSettings):
    """SiT or REPA: a class-conditional flow; ImageNet at 256x256 by default."""

    checkpoint: FileOrAddress = Field(
        PUBLISHED, description="weights of SiT or REPA (.pt): a file, or an address that is downloaded once"
    )
    sha256: Digest | None = Field(None, description="SHA-256 of the checkpoint at an address, or its first digits")
    convention: Convention | None = Field(
        None, description="whose times and signs: sit or repa; left out: repa where no variance is learned"
    )
    classes: int = Field(1000, ge=1, description="classes of the network")
    vae: str = Field("stabilityai/sd-vae-ft-mse", description="AutoencoderKL (folder or hub name) of the latents")
    preview: str | None = Field(
        None, description="AutoencoderTiny (folder or hub name) for predicted images; final ones never use it"
    )
    precision: Precision = Field("fp32", description="precision of the networks; states and noise levels are float32")
    sampler: InterpolantByDefault = stepped(50)
    guidance: float = Field(4.0, ge=1, description="scale of classifier-free guidance, 1: none, half the forwards")
    guided: tuple[float, float] = Field(
        (0.0, 1.0), description="least and greatest noise level with guidance; REPA's [0, 0.7]"
    )
    last: float | None = Field(
        None, gt=0, lt=1, description="noise level before the last step; left out: even levels; 0.04 in published SDEs"
    )

    @model_validator(mode="after")
    def _rising(self) -> SiT:
        if not 0 <= self.guided[0] < self.guided[1] <= 1:
            raise ValueError(f"guided = {list(self.guided)}: give [least, greatest], rising, within 0 and 1")
        return self

    @property
    def path(self) -> Path:
        """The checkpoint's file, downloaded if needed."""
        return locate(self.checkpoint, "checkpoint", self.sha256)

    def stepper(self) -> Sampler:
        """The sampler on even levels."""
        return self.sampler.on(EvenLevels(self.last))

    def plan(self) -> Plan:
        """The sampler's plan; with guidance, a prediction takes two forwards."""
        return self.stepper().plan.times(2 if self.guidance > 1 else 1)

    def check(self) -> None:
        """Read the checkpoint and check the decoders.

        Raises:
            SettingError: the settings do not fit them.
            WeightsError: one is missing, damaged or of another network.
        """
        shape = self._opened().shape
        self._vae.weights()
        self._vae.check(shape.channels, self._vae.factor)
        if self.preview is not None:
            autoencoder.tiny(self.preview).weights()
            autoencoder.tiny(self.preview).check(shape.channels, self._vae.factor)
        self.stepper()

    def identity(self) -> dict[str, Any]:
        """The settings, with digests of the weights in place of their addresses."""
        left_out = {"checkpoint", "sha256", "vae", "preview", "convention"}
        return {
            **{name: value for name, value in self.record().items() if name not in left_out},
            "convention": self._convention(self._opened().shape),
            "weights": sha256(self.path, "checkpoint"),
            "vae": self._vae.weights(),
            "preview": None if self.preview is None else autoencoder.tiny(self.preview).weights(),
        }

    def load(self, device: str = "cpu") -> Model:
        """The model on a device, in the precision of its settings."""
        from tts.networks.placing import place

        network, kind = self._opened(), dtype(self.precision)
        shape, convention = network.shape, self._convention(network.shape)
        denoiser = FlowDenoiser(ClassNetwork(place(network, device, kind), convention), self._guidance(convention))
        preview = (
            None if self.preview is None else autoencoder.decoder(autoencoder.tiny(self.preview).load(kind, device))
        )
        decoder = autoencoder.decoder(self._vae.load(kind, device))
        return LatentModel(denoiser, self.stepper(), decoder, preview, shape.latent)

    @property
    def _vae(self) -> autoencoder.Lone:
        return autoencoder.Lone(self.vae, "AutoencoderKL", "vae")

    def _guidance(self, convention: Convention) -> Guidance:
        if self.guidance == 1:
            return Unguided()
        return PartlyFree(self.guidance, 3 if convention == "sit" else None, self.guided)

    def _convention(self, shape: sit.SiTShape) -> Convention:
        """The convention that is set; else found by the variance, which only SiT's published networks learn."""
        return self.convention or ("sit" if shape.outputs > shape.channels else "repa")

    def _opened(self) -> sit.SiT:
        """The network with the weights of the file, without the tensors that REPA needs only for training."""
        import torch

        from tts.files.tensors import fill, read
        from tts.networks.sit import SiT as Network
        from tts.networks.sit import shape_of

        found = read(self.path, "checkpoint", training=True)
        tensors = {name: tensor for name, tensor in found.items() if not name.startswith("projectors.")}
        where = f"checkpoint {self.checkpoint}"
        shape = shape_of(tensors, where)
        if shape.classes != self.classes:
            raise WeightsError(f"{where}: has {shape.classes} classes, but the setting 'classes' says {self.classes}")
        with torch.device("meta"):
            network = Network(shape)
        fill(network, tensors, where)
        return network


class ClassNetwork:
    """The velocity towards noise of a SiT; the class index after the last one means "no class".

    A learned variance is ignored.
    """

    def __init__(self, module: sit.SiT, convention: Convention) -> None:
        self.module, self.convention = module, convention

    def __call__(self, x: Tensor, times: Tensor, conditions: Sequence[Condition | None]) -> Tensor:
        import torch

        from tts.engine.device_queue import upload

        shape = self.module.shape
        labels = [shape.classes if condition is None else int(condition) for condition in conditions]
        t = times if self.convention == "repa" else 1 - times
        kind = self.module.pos_embed.dtype
        output: Tensor = self.module(x.to(kind), t.float(), upload(torch.tensor(labels), x.device))
        velocity = output[:, : shape.channels]
        return velocity if self.convention == "repa" else -velocity
