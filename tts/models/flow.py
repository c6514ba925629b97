"""The base of all text-to-image flows on diffusers' pipelines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tts.errors import SettingError
from tts.models.config_keys import check_keys
from tts.models.flow_keys import scheduler_table
from tts.models.flow_schedule import FlowSchedule
from tts.models.guidance import Guidance, classifier_free
from tts.models.latent import SCHEDULER, Network
from tts.models.parameterisation import FlowVelocity
from tts.models.text_to_image import TextToImageSettings
from tts.plan import Condition
from tts.samplers.interpolant import InterpolantSettings
from tts.samplers.schedules import FlowLevels
from tts.samplers.settings import InterpolantByDefault

if TYPE_CHECKING:
    from torch import Tensor

    from tts.samplers.base import Sampler


def stepped(steps: int, **noise: Any) -> Any:
    """A family's ``sampler`` field: the interpolant with a number of steps.

    Args:
        steps: the default.
        noise: settings of the injected noise, by name.
    """
    made = InterpolantSettings.model_validate({"steps": steps, "noise": noise})
    return Field(
        default_factory=lambda: made,
        description=f"the sampler: {{name: interpolant, steps: {steps}, noise: {{kind: {made.noise.kind}, share: 1}}}}",
    )


class FlowSettings(TextToImageSettings):
    """Settings of a text-to-image flow."""

    KEYS: ClassVar[Mapping[str, str]] = {"AutoencoderKL": "AutoencoderKL of a flow"}
    EVEN: ClassVar[bool] = True
    """Whether the family's pipeline hands even levels to the scheduler."""

    SCALE: ClassVar[float]
    """Scale of guidance where the settings have none."""

    sampler: InterpolantByDefault = stepped(28)
    guidance: float | None = Field(None, ge=1, description="scale of guidance, 1: none; default: the authors'")

    @property
    def scale(self) -> float:
        """The scale of guidance in effect."""
        return self.SCALE if self.guidance is None else self.guidance

    def guide(self) -> Guidance:
        """The guidance with which the network is asked."""
        return classifier_free(self.scale)

    @property
    def passes(self) -> int:
        """Forwards of the network that one prediction takes."""
        return self.guide().passes

    def identity(self) -> dict[str, Any]:
        """The settings with the guidance scale in effect, and digests in place of addresses."""
        return {**super().identity(), "guidance": self.scale}

    def schedule(self) -> FlowLevels:
        """The checkpoint's noise levels, for images of the size that the settings ask for."""
        _, height, width = self.shape
        return FlowSchedule(self.scheduler_config(), self.EVEN, height * width // self.PATCH**2)

    def stepper(self) -> Sampler:
        """The sampler on the checkpoint's noise levels."""
        return self._explained(lambda: self.sampler.on(self.schedule()))

    def check(self) -> None:
        """Find missing, damaged and foreign parts (``WeightsError``), and settings that do not fit them."""
        super().check()
        self.stepper()

    def check_configurations(self) -> None:
        """Also check the scheduler's configuration."""
        super().check_configurations()
        config = self.scheduler_config()
        self._explained(partial(check_keys, SCHEDULER, config, scheduler_table(config)))

    def denoiser(self, network: Network, device: str) -> FlowDenoiser:
        """A denoiser from a network on a device, with the guidance of the settings."""
        return FlowDenoiser(network, self.guide())

    def refuse_scale(self) -> None:
        """Refuse a guidance scale, for a network that was distilled without guidance.

        Raises:
            SettingError: the settings have one.
        """
        if self.guidance not in (None, 1):
            raise SettingError(f"guidance = {self.guidance:g}: {self.id} was distilled to need none; leave it out")


@dataclass(frozen=True)
class FlowDenoiser:
    """Clean latents from a network that predicts the velocity of a flow and is told noise levels.

    Args:
        network: the raw denoiser, with its conditioning.
        guidance: the guidance with which it is asked.
    """

    network: Network
    guidance: Guidance

    def __call__(self, x: Tensor, levels: Tensor, conditions: Sequence[Condition]) -> Tensor:
        """Clean latents of noisy ones, both ``[B, C, h, w]`` float32, at levels ``[B]`` float64 on the host."""
        from tts.engine.device_queue import upload

        s = upload(levels, x.device)
        return FlowVelocity().clean(x, self.guidance(self.network, x, s, conditions), 1 - s, s)
