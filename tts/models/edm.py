"""EDM's networks (Karras et al. 2022, arXiv 2206.00364), from NVIDIA's published pickles."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from pydantic import Field

from tts.errors import SettingError, WeightsError
from tts.files.digests import sha256
from tts.files.edm_pickle import Checkpoint, read
from tts.files.locate import locate
from tts.models.addresses import Digest, FileOrAddress
from tts.models.base import Model, ModelSettings
from tts.models.classes import class_condition, class_label
from tts.models.guidance import Autoguidance, Guidance, Unguided
from tts.models.guiding import EDMGuidance, NoGuidance, WeakerPickle
from tts.models.pixel_edm import PixelEDM, predictor
from tts.networks import edm_constants
from tts.plan import Condition, Plan
from tts.precision import Precision, dtype
from tts.samplers.heun import StochasticHeun
from tts.samplers.schedules import Sigmas
from tts.samplers.settings import HeunByDefault
from tts.settings import parse

if TYPE_CHECKING:
    from torch import nn

    from tts.networks.adm_weights import ADMShape
    from tts.networks.edm2_shape import EDM2Shape
    from tts.networks.precondition import EDMPrecond
    from tts.networks.song import SongShape

Shape: TypeAlias = "ADMShape | SongShape | EDM2Shape"
Form: TypeAlias = "tuple[Shape, Callable[[], nn.Module]]"
"""The form of a network, and a function that makes the network."""

PUBLISHED = "https://nvlabs-fi-cdn.nvidia.com/edm/pretrained/edm-imagenet-64x64-cond-adm.pkl"
"""The study's network: ImageNet at 64x64, a thousand classes."""


class EDM(ModelSettings):
    """EDM's networks on pixels, from NVIDIA's pickles: ImageNet at 64x64 by default; stochastic Heun sampler."""

    checkpoint: FileOrAddress = Field(
        PUBLISHED, description="pickle of an EDMPrecond: a file, or an address that is downloaded once"
    )
    classes: int = Field(1000, ge=0, description="classes of the network; 0 for one without labels")
    precision: Precision = Field("fp32", description="precision of the network; states and preconditioning are float32")
    sha256: Digest | None = Field(
        None,
        description="SHA-256 of the checkpoint at an address, or its first digits; without it, any file is accepted",
    )
    sampler: HeunByDefault = Field(default_factory=StochasticHeun, description="the sampler: {name: heun, ...}")
    guidance: EDMGuidance = Field(
        NoGuidance(), description="none, or {name: autoguidance, scale: 2, checkpoint: of a weaker network}"
    )

    @property
    def path(self) -> Path:
        """The checkpoint's file, downloaded if needed."""
        return locate(self.checkpoint, "checkpoint", self.sha256)

    def plan(self) -> Plan:
        """The sampler's plan; with guidance, a prediction takes two forwards."""
        return self.sampler.on(Sigmas()).plan.times(self.guidance.passes)

    def condition(self, value: object) -> Condition:
        """A class index, from the index or, for a thousand classes, ImageNet's name; 0 for a network without labels."""
        return class_condition(value, max(self.classes, 1))

    def conditions(self) -> tuple[Condition, ...]:
        """The class indices."""
        return tuple(range(max(self.classes, 1)))

    def label(self, condition: Condition) -> str:
        """The class's name for ImageNet's classes, else its index; the checkpoint itself holds no names."""
        return class_label(condition, self.classes) if self.classes else "any"

    def check(self) -> None:
        """Read the whole checkpoint, and autoguidance's weaker one.

        Raises:
            SettingError: the settings do not fit the network, or the two networks do not fit each other.
            WeightsError: a checkpoint is missing, damaged or of another network.
        """
        found = self._open()
        if (weaker := self.weaker()) is not None:
            self._compare_with(weaker, found[1], weaker._open()[1])

    def weaker(self) -> Self | None:
        """The model away from whose answer autoguidance leads; None without autoguidance."""
        guided = self.guidance
        if not isinstance(guided, WeakerPickle):
            return None
        classes = self.classes if guided.classes is None else guided.classes
        return type(self)(
            checkpoint=guided.checkpoint,
            classes=classes,
            sha256=guided.sha256,
            precision=self.precision,
            sampler=self.sampler,
        )

    def _compare_with(self, weaker: EDM, ours: Shape, theirs: Shape) -> None:
        """Check that both networks have the same inputs and outputs, so that their answers can be mixed."""
        sizes = {(shape.in_channels, shape.img_resolution) for shape in (ours, theirs)}
        if len(sizes) > 1 or weaker.classes not in (0, self.classes):
            raise WeightsError(
                f"guidance.checkpoint {weaker.checkpoint}: draws {weaker.classes} classes at {theirs.img_resolution} "
                f"pixels, and the network {self.classes} at {ours.img_resolution}, so that answers cannot be mixed"
            )

    def record(self) -> dict[str, Any]:
        """The settings as plain values, without guidance where there is none.

        The digest that a download is checked against is left out too, as it changes no result.
        """
        left_out = {"sha256"} | ({"guidance"} if isinstance(self.guidance, NoGuidance) else set())
        return {name: value for name, value in super().record().items() if name not in left_out}

    def identity(self) -> dict[str, Any]:
        """Sampler, precision and the digest of the checkpoint, not its path; with guidance also the weaker one's."""
        weights = sha256(self.path, "checkpoint")
        found = {"sampler": self.record()["sampler"], "precision": self.precision, "weights": weights}
        guided, weaker = self.guidance, self.weaker()
        if isinstance(guided, WeakerPickle) and weaker is not None:
            weaker_weights = sha256(weaker.path, "guidance.checkpoint")
            found["guidance"] = {"name": guided.name, "scale": guided.scale, "weights": weaker_weights}
        return found

    def load(self, device: str = "cpu") -> Model:
        """The denoiser on a device, in the precision of its settings and channels-last memory format."""
        denoiser, shape, guidance = self._guided(device)
        size = (shape.in_channels, *[shape.img_resolution] * 2)
        return PixelEDM(denoiser, self.sampler.on(Sigmas()), size, device, guidance)

    def _guided(self, device: str) -> tuple[EDMPrecond, Shape, Guidance]:
        """The denoiser on a device, the network's form, and its guidance."""
        denoiser, shape = self._denoiser(device)
        if isinstance(guided := self.guidance, WeakerPickle) and (weaker := self.weaker()) is not None:
            weak, theirs = weaker._denoiser(device)
            self._compare_with(weaker, shape, theirs)
            return denoiser, shape, Autoguidance(guided.scale, predictor(weak, device))
        return denoiser, shape, Unguided()

    def _denoiser(self, device: str) -> tuple[EDMPrecond, Shape]:
        from tts.networks.placing import place
        from tts.networks.precondition import EDMPrecond

        sigma_data, shape, build = self._open()
        try:
            denoiser = EDMPrecond(build(), sigma_data)
        except WeightsError as error:
            raise WeightsError(f"checkpoint {self.path}: {error}") from None
        return place(denoiser, device, dtype(self.precision), channels_last=True), shape

    def _open(self) -> tuple[float, Shape, Callable[[], nn.Module]]:
        """Sigma_data, the network's form, and a function that makes the network."""
        found = read(self.path)
        try:
            edm_constants.check(found.architecture, found.modules, found.tensors)
            shape, build = self._form(found)
            edm_constants.check_preconditioning(found.levels, shape.label_dim, self._levels())
        except (SettingError, WeightsError) as error:
            raise WeightsError(f"checkpoint {self.path}: {error}") from None
        return found.sigma_data, shape, build

    def _form(self, found: Checkpoint) -> Form:
        if found.architecture == "UNet":
            raise WeightsError("its network is EDM2's; set name: edm2")
        return self._adm(found) if found.architecture == "DhariwalUNet" else self._song(found)

    def _levels(self) -> tuple[float, float]:
        """The sampler's last noise level above 0, and its first; infinity and 0, which fit any network, if unknown."""
        return getattr(self.sampler, "sigma_min", math.inf), getattr(self.sampler, "sigma_max", 0.0)

    def _adm(self, found: Checkpoint) -> Form:
        """The form of an ADM network; torch is imported only when the network is made."""
        from tts.networks.adm_weights import ADMShape, translate

        shape = parse(ADMShape, found.arguments, "its DhariwalUNet's arguments")
        weights = translate(shape, found.tensors)
        self._compare(shape)

        def build() -> nn.Module:
            from tts.networks.adm import ADM

            return ADM(shape, weights)

        return shape, build

    def _song(self, found: Checkpoint) -> Form:
        from tts.networks.song import Song, SongShape

        shape = parse(SongShape, found.arguments, "its SongUNet's arguments")
        self._compare(shape)
        network = Song(shape, found.tensors)
        return shape, lambda: network

    def _compare(self, shape: Shape) -> None:
        if shape.label_dim != self.classes:
            raise WeightsError(
                f"its network has {shape.label_dim} classes, but the setting 'classes' says {self.classes}"
            )
