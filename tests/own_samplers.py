"""A sampler as a user would write it: Euler's steps between EDM's noise levels, with fresh noise after each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from pydantic import Field

from tts.plan import Plan
from tts.samplers.schedules import Schedule, Sigmas, unfit
from tts.samplers.settings import SamplerSettings

if TYPE_CHECKING:
    from torch import Tensor

    from tts.samplers.base import Position, Step


class Ancestral(SamplerSettings):
    """Settings of Euler steps on noise levels that fall by a constant factor."""

    steps: int = Field(4, ge=2, description="steps")
    share: float = Field(0.5, gt=0, lt=1, description="of the next level's noise that is fresh")

    def on(self, schedule: Schedule) -> AncestralSampler:
        if not isinstance(schedule, Sigmas):
            raise unfit("Ancestral", Sigmas.WORDS, schedule)
        return AncestralSampler((*(80 * 1e-4 ** (k / (self.steps - 1)) for k in range(self.steps)), 0.0), self.share)


@dataclass(frozen=True)
class AncestralSampler:
    """One denoiser call a step, at its new state."""

    levels: tuple[float, ...]
    share: float

    @cached_property
    def plan(self) -> Plan:
        more = len(self.levels) - 2
        return Plan((1,) * more + (0,), (True,) * more + (False,), initial_nfe=1, levels=self.levels, back=1)

    def initial(self, noise: Tensor) -> Step:
        from tts.samplers.base import Call, Position

        x = self.levels[0] * noise
        return Position(x, (yield Call(x, self.levels[0])))

    def back(self, at: Position, index: int, to: int, noise: Tensor) -> Step:
        from tts.samplers.base import Call, Position

        x = at.x + math.sqrt(self.levels[to] ** 2 - self.levels[index] ** 2) * noise
        return Position(x, (yield Call(x, self.levels[to])))

    def step(self, at: Position, index: int, noise: Tensor | None) -> Step:
        from tts.samplers.base import Call, Position

        t, t_next = self.levels[index : index + 2]
        fresh = 0.0 if noise is None else self.share * t_next
        x = at.predicted + math.sqrt(t_next**2 - fresh**2) / t * (at.x - at.predicted)
        x = x if noise is None else x + fresh * noise
        return Position(x, (yield Call(x, t_next)) if t_next else x)
