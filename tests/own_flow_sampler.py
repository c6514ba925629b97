"""A sampler of flows, as a user would write it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pydantic import Field

from tts.plan import Plan
from tts.settings import Settings

if TYPE_CHECKING:
    from tts.samplers.base import Position


class FlowAncestral(Settings):
    """x = (1 - s) D + s e, s from 1 to 0 in equal steps; a share eta of each step's noise is fresh."""

    steps: int = Field(10, ge=2, description="steps")
    eta: float = Field(1.0, ge=0, le=1, description="share of the ancestral noise")

    def fresh(self, i: int) -> float:
        s, t = 1 - i / self.steps, 1 - (i + 1) / self.steps
        return self.eta * t * math.sqrt(1 - (t * (1 - s) / ((1 - t) * s)) ** 2)

    @property
    def plan(self) -> Plan:
        n = self.steps
        return Plan((1,) * (n - 1) + (0,), tuple(self.fresh(i) > 0 for i in range(n)), initial_nfe=1, back=1)

    def initial(self, noise: Any) -> Any:
        from tts.samplers.base import Call, Position

        return Position(noise, (yield Call(noise, 1.0)))

    def back(self, at: Position, index: int, to: int, noise: Any) -> Any:
        from tts.samplers.base import Call, Position

        s, t = 1 - index / self.steps, 1 - to / self.steps
        x = (1 - t) / (1 - s) * at.x + math.sqrt(t**2 - ((1 - t) / (1 - s) * s) ** 2) * noise
        return Position(x, (yield Call(x, t)))

    def step(self, at: Position, index: int, noise: Any) -> Any:
        from tts.samplers.base import Call, Position

        s, t, w = 1 - index / self.steps, 1 - (index + 1) / self.steps, 0 if noise is None else self.fresh(index)
        x = (1 - t) * at.predicted + math.sqrt(t**2 - w**2) / s * (at.x - (1 - s) * at.predicted)
        x = x if noise is None else x + w * noise
        return Position(x, (yield Call(x, t)) if index + 1 < self.steps else x)
