"""Noise levels that models are trained for, on which samplers step, and the form in which denoisers are told them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple, TypeAlias

from tts.errors import SettingError

Spacing: TypeAlias = Literal["leading", "trailing", "linspace", "lcm"]
"""How time steps are chosen, by diffusers' names; ``lcm``: among the 50 that consistency models are distilled on."""


class Schedule(ABC):
    """A kind of noise levels."""

    WORDS: ClassVar[str]
    """The levels in words, for messages."""


@dataclass(frozen=True)
class Sigmas(Schedule):
    """States ``D + sigma noise`` with any ``sigma > 0``; the denoiser is told sigma (EDM)."""

    WORDS: ClassVar[str] = "noise levels sigma"


class Grid(NamedTuple):
    """Some of a model's time steps, from noise to image.

    Args:
        times: what the denoiser is told before each step.
        alphas: signal level (cumulative alpha) before each step.
        targets: signal level to which each step leads; with some spacings it differs slightly from the next ``alphas``.
        clip: predictions are clipped to [-clip, clip] before a step; None: they are not.
    """

    times: tuple[int, ...]
    alphas: tuple[float, ...]
    targets: tuple[float, ...]
    clip: float | None


class Times(Schedule):
    r"""States :math:`\sqrt a D + \sqrt{1-a}` noise at integer time steps; the denoiser is told the step (DDPM)."""

    WORDS: ClassVar[str] = "time steps of a schedule of betas"

    @property
    @abstractmethod
    def alphas(self) -> tuple[float, ...]:
        """Signal level (cumulative alpha) of every training time step."""

    @abstractmethod
    def grid(self, steps: int, spacing: Spacing | None) -> Grid:
        """Choose ``steps`` of them.

        Args:
            steps: number of time steps.
            spacing: how they are spaced; None: as the model asks.

        Raises:
            SettingError: the schedule has fewer.
            WeightsError: the schedule cannot be used.
        """


class FlowLevels(Schedule):
    """States ``(1 - s) D + s noise`` with levels s from 1 to 0; the denoiser is told s (flow matching)."""

    WORDS: ClassVar[str] = "noise levels of a flow"

    @abstractmethod
    def levels(self, steps: int) -> tuple[float, ...]:
        """``steps + 1`` falling levels: the level before each step, then 0.

        Raises:
            SettingError: the schedule has fewer.
            WeightsError: the schedule cannot be used.
        """


def unfit(sampler: str, wanted: str, schedule: Schedule) -> SettingError:
    """The error for a sampler that needs another kind of noise levels than the model has."""
    return SettingError(f"sampler {sampler}: steps on {wanted}, and this model has {schedule.WORDS}")
