"""DSearch: beams that thin out while they widen (Li et al. 2025, arXiv 2503.02039)."""

from __future__ import annotations

import math
from typing import ClassVar

from pydantic import Field

from tts.plan import Plan
from tts.search.base import Problem, Run, Search
from tts.search.segment import best, top


class DSearch(Search):
    """From b0 beams to one: each beam keeps the best of w b0 / b(t) noises, and the best b(t) beams continue.

    ``b(t) = b0^(1 - t / (T - 1))`` over the T steps that inject noise. Step t searches with probability
    ``1 - exp(-3 t / (T - 1))``, else each beam takes one noise, as early predictions say little. The exchange of images
    across a batch of problems (DSearch-R) is not included.
    """

    advice: ClassVar[str] = (
        "Large budgets where early diversity pays: many starts at first, one well-searched state at the end."
    )
    budget: ClassVar[str] = "w"
    exact: ClassVar[bool] = False  # chance decides which steps are searched
    w: int = Field(5, ge=1, description="noises tried from each state at first")
    b0: int = Field(5, ge=1, description="states at first")
    always: bool = Field(False, description="search every step")

    @property
    def ordinal(self) -> bool:
        """True: it only needs the best candidates."""
        return True

    def run(self, problem: Problem) -> Run:
        """At each step every beam tries its candidates, and as many of the best beams as scheduled continue."""
        plan, coins = problem.plan, problem.coins()
        counts = self.beams(plan)
        beams = yield [problem.start(stream) for stream in range(self.b0)]
        for t, step in enumerate(plan.noisy_steps):
            if beams[0].state.step < step:
                beams = yield [problem.advance(beam.state, step) for beam in beams]
            searched = coins.random() < 1 - math.exp(-3 * t / max(1, len(plan.noisy_steps) - 1))
            width = self._width(len(beams)) if searched or self.always else 1
            found = yield [
                problem.step(beam.state, problem.noise(step, k, stream))
                for stream, beam in enumerate(beams)
                for k in range(width)
            ]
            winners = [best(found[first : first + width]) for first in range(0, len(found), width)]
            beams = top(winners, counts[t + 1])
        return best((yield [problem.advance(beam.state, scored=True) for beam in beams]))

    def beams(self, plan: Plan) -> list[int]:
        """States before each step that injects noise, and after the last."""
        steps = len(plan.noisy_steps)
        if steps < 2:
            return [self.b0, *[1] * steps]
        return [*(max(1, round(self.b0 ** (1 - t / (steps - 1)))) for t in range(steps)), 1]

    def _width(self, beams: int) -> int:
        return max(1, self.w * self.b0 // beams)

    def nfe(self, plan: Plan) -> int:
        """Where every step is searched about w b0 C on each that injects noise; C for each beam on the others."""
        counts, t, total = self.beams(plan), 0, plan.initial_nfe * self.b0
        for cost, injects in zip(plan.nfe_per_step, plan.injects, strict=True):
            total += cost * counts[t] * (self._width(counts[t]) if injects else 1)
            t += injects
        return total

    def depth(self, plan: Plan) -> int:
        """C T."""
        return plan.nfe()
