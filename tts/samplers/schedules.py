"""What a sampler steps on: the noise levels that a model was trained for, and what its denoiser is told of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple, TypeAlias

from tts.errors import SettingError

Spacing: TypeAlias = Literal["leading", "trailing", "linspace", "lcm"]
"""Of time steps, as diffusers names them; ``lcm``: some of the 50 that consistency models are distilled on."""


class Schedule(ABC):
    """A kind of noise levels."""

    WORDS: ClassVar[str]
    """What they are, for messages."""


@dataclass(frozen=True)
class Sigmas(Schedule):
    """States ``D + sigma noise`` of any ``sigma > 0``, which the denoiser is told (EDM's)."""

    WORDS: ClassVar[str] = "noise levels sigma"


class Grid(NamedTuple):
    """Some of a model's time steps, from noise to image.

    Args:
        times: what the denoiser is told before each step.
        alphas: signal level there.
        targets: signal level to which each step leads; with some spacings not quite the next step's ``alphas``.
        clip: predictions are clipped to [-clip, clip] before a step; None: they are not.
    """

    times: tuple[int, ...]
    alphas: tuple[float, ...]
    targets: tuple[float, ...]
    clip: float | None


class Times(Schedule):
    r"""States :math:`\sqrt a D + \sqrt{1-a}` noise at whole time steps, which the denoiser is told (DDPM's)."""

    WORDS: ClassVar[str] = "time steps of a schedule of betas"

    @property
    @abstractmethod
    def alphas(self) -> tuple[float, ...]:
        """Signal level (cumulative alpha) of every time step."""

    @abstractmethod
    def grid(self, steps: int, spacing: Spacing | None) -> Grid:
        """So many of them; None: spaced as the model wants it.

        Raises:
            SettingError: there are not so many.
            WeightsError: the schedule cannot be used.
        """


class FlowLevels(Schedule):
    """States ``(1 - s) D + s noise`` of levels s from 1 to 0, which the denoiser is told (of flow matching)."""

    WORDS: ClassVar[str] = "noise levels of a flow"

    @abstractmethod
    def levels(self, steps: int) -> tuple[float, ...]:
        """The level before each step, falling, and 0 at the end: ``steps + 1`` of them.

        Raises:
            SettingError: there are not so many.
            WeightsError: the schedule cannot be used.
        """


def unfit(sampler: str, wanted: str, schedule: Schedule) -> SettingError:
    """The error for a sampler that steps on other noise levels than a model's."""
    return SettingError(f"sampler {sampler}: steps on {wanted}, and this model has {schedule.WORDS}")
