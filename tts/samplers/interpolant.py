"""One sampler for flows and diffusion: steps of an ODE, in which a share of the noise is fresh."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tts.errors import SettingError
from tts.samplers.linear import TINY, LinearSampler, Weights
from tts.samplers.noises import InjectedNoise, Levels
from tts.samplers.schedules import FlowLevels, Schedule, Spacing, Times, unfit
from tts.samplers.settings import MOST_STEPS, SamplerSettings

if TYPE_CHECKING:
    from torch import Tensor

LEAST = 0.02
"""Noise of a smaller deviation than this changes nothing visible. Such a step counts as deterministic, so that a
search spends nothing on it. Schedules that are shifted twice end with such steps."""


@dataclass(frozen=True)
class Interpolant(LinearSampler):
    r"""Steps between levels of :math:`x = a D + s e` (Albergo et al. 2023, arXiv 2303.08797), for flows and diffusion.

    A step without noise is :math:`x' = a' D + s' e`: an Euler step of a flow's ODE, or a DDIM step of diffusion.

    Args:
        times: what the denoiser is told before each step.
        path: signal ``a`` and noise ``s`` before and after each step.
        noise: the kind of noise that steps inject, and its share.
        clip: predictions are clipped to [-clip, clip] before a step; None: they are not.
        first: scale of the initial unit noise.
    """

    times: tuple[float, ...]
    path: tuple[Levels, ...]
    noise: InjectedNoise
    clip: float | None = None
    first: float = 1.0

    def weights(self, index: int, injected: bool) -> Weights:
        """Numbers of step ``index``, with its noise or deterministic."""
        at = self.path[index]
        k, w = self.noise.weights(at) if injected else (at.s_next, 0.0)
        if w < LEAST:
            k, w = at.s_next, 0.0
        return Weights(at.a, at.s, at.a_next, k, w)

    def renoising(self, index: int, to: int) -> tuple[float, float]:
        """Factors of the state and of a unit noise, to go back from ``index`` steps to the level before step ``to``."""
        here, there = self.path[index - 1], self.path[to]
        share = there.a / here.a_next
        return share, math.sqrt(max(0.0, there.s**2 - (share * here.s_next) ** 2))

    @property
    def levels(self) -> tuple[float, ...]:
        """Noise over signal (both as deviations), before each step and after the last."""
        pairs = [*((at.a, at.s) for at in self.path), (self.path[-1].a_next, self.path[-1].s_next)]
        return tuple(s / max(a, TINY) for a, s in pairs)

    def opened(self, noise: Tensor) -> Tensor:
        """The first state: ``first`` times a unit normal noise."""
        return noise if self.first == 1 else self.first * noise


class InterpolantSettings(SamplerSettings):
    """For flows and diffusion: steps of an ODE, in which a share of the noise is fresh."""

    steps: int = Field(28, ge=1, le=MOST_STEPS, description="steps; few for distilled models")
    noise: InjectedNoise = Field(
        default_factory=InjectedNoise,
        description="{kind: ancestral, share: 1}: share of fresh noise after a step; searches need some",
    )
    spacing: Spacing | None = Field(
        None, description="spacing of the time steps, for models with betas; default: the checkpoint's"
    )

    start: Literal["unit", "level"] = Field(
        "unit", description="deviation of the initial noise: 1, or the first level's as of Euler's samplers (Turbo)"
    )

    def on(self, schedule: Schedule) -> Interpolant:
        """The sampler on the levels of the model's schedule.

        Raises:
            SettingError: the denoiser is told another kind of levels, the schedule has too few, or the noise does not
                suit them.
        """
        if isinstance(schedule, FlowLevels):
            return self._on_flow(schedule)
        if isinstance(schedule, Times):
            return self._on_times(schedule)
        raise unfit("interpolant", f"{FlowLevels.WORDS} or {Times.WORDS}", schedule)

    def _on_flow(self, schedule: FlowLevels) -> Interpolant:
        if self.spacing is not None:
            raise SettingError(f"sampler interpolant: spacing = {self.spacing}: a flow has no time steps; leave it out")
        levels = schedule.levels(self.steps)
        path = tuple(Levels(1 - s, s, 1 - after, after) for s, after in pairwise(levels))
        return Interpolant(levels[:-1], path, self.noise, None, self._first(path))

    def _on_times(self, schedule: Times) -> Interpolant:
        if self.noise.of_flows:
            raise SettingError(
                f"sampler interpolant: noise.kind = {self.noise.kind}: it is known for flows, and this model has "
                f"{schedule.WORDS}; use ancestral"
            )
        times, alphas, targets, clip = schedule.grid(self.steps, self.spacing)
        path = tuple(
            Levels(math.sqrt(a), math.sqrt(1 - a), math.sqrt(b), math.sqrt(1 - b))
            for a, b in zip(alphas, targets, strict=True)
        )
        return Interpolant(times, path, self.noise, clip, self._first(path))

    def _first(self, path: tuple[Levels, ...]) -> float:
        return path[0].s if self.start == "level" else 1.0
