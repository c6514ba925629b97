"""The embedded model: a class-conditional EDM denoiser for CIFAR-10 whose weights ship with this package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from tts.errors import SettingError
from tts.files import weights_file
from tts.models.base import Model, ModelSettings
from tts.models.classes import class_index
from tts.models.pixel_edm import PixelEDM
from tts.plan import Condition, Plan
from tts.samplers.heun import StochasticHeun
from tts.samplers.schedules import Sigmas
from tts.samplers.settings import HeunByDefault
from tts.settings import nearest

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


class Cifar10(ModelSettings):
    """CIFAR-10 at 32x32, ten classes, stochastic Heun."""

    weights: Path | None = Field(
        None, description="safetensors file of a network of any widths (tts-bench train); default: the shipped one"
    )
    sampler: HeunByDefault = Field(default_factory=StochasticHeun, description="the sampler: {name: heun, ...}")

    @property
    def path(self) -> Path:
        """The weights file in use."""
        return self.weights or weights_file.SHIPPED / "cifar10-denoiser.safetensors"

    def plan(self) -> Plan:
        """The sampler's plan on EDM's noise levels."""
        return self.sampler.on(Sigmas()).plan

    def condition(self, value: object) -> Condition:
        """A class index 0..9, from the index or the class's name."""
        if isinstance(value, str) and not value.isdecimal():
            if value not in CLASSES:
                raise SettingError(f"unknown class '{value}'; {nearest(value, CLASSES)}")
            return CLASSES.index(value)
        return class_index(value, len(CLASSES))

    def conditions(self) -> tuple[Condition, ...]:
        """The ten class indices."""
        return tuple(range(len(CLASSES)))

    def label(self, condition: Condition) -> str:
        """The class's name."""
        return CLASSES[int(condition)]

    def check(self) -> None:
        """Check the embedded weights against their digest."""
        weights_file.digest(self.path)

    def identity(self) -> dict[str, Any]:
        """The sampler's settings and the digest of the weights, not their path."""
        return {"sampler": self.record()["sampler"], "weights": weights_file.digest(self.path)}

    def load(self, device: str = "cpu") -> Model:
        """The denoiser on a device, in float32 and channels-last memory format."""
        from tts.networks.folded_unet import FoldedUNet, widths
        from tts.networks.placing import place
        from tts.networks.precondition import EDMPrecond

        found = widths(weights_file.shapes(self.path))
        denoiser = EDMPrecond(FoldedUNet(found) if found else FoldedUNet())
        weights_file.load(denoiser, self.path)
        return PixelEDM(place(denoiser, device, channels_last=True), self.sampler.on(Sigmas()), (3, 32, 32), device)
