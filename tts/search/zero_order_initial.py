"""Zero-order search of the initial noise (Ma et al. 2025, arXiv 2501.09732)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from tts.noise import Turn
from tts.plan import Plan
from tts.search.base import INITIAL, Problem, Run, Search
from tts.search.initial import start_of, whole
from tts.search.segment import best


class ZeroOrderInitial(Search):
    """K rounds around a pivot, the initial noise: N neighbours on the sphere; the best of them and the pivot stays.

    A neighbour is ``sqrt(1 - b^2) x + b u`` with u a fresh noise, judged by its final image. The steps' noises stay
    those of plain sampling; the paper's sampler has none.
    """

    advice: ClassVar[str] = (
        "Samplers without noise, few-step models among them: it moves the initial noise and judges final images, "
        "so that nothing is predicted. Every candidate costs a whole trajectory."
    )
    budget: ClassVar[str] = "K"
    needs_injection: ClassVar[bool] = False
    only_initial: ClassVar[bool] = True
    N: int = Field(4, ge=1, description="neighbours a round")
    K: int = Field(4, ge=0, description="rounds")
    b: float = Field(0.3, gt=0, le=1, description="share of a fresh noise in a neighbour; 1: all of it")

    @property
    def ordinal(self) -> bool:
        """It asks for the best only."""
        return True

    def run(self, problem: Problem) -> Run:
        """K rounds of N neighbours of the best initial noise so far, each played to the end."""
        [pivot] = yield [problem.trajectory()]
        for k in range(self.K):
            turns = [Turn(problem.noise(INITIAL, 1 + k * self.N + n).seed, self.b) for n in range(self.N)]
            found = yield [whole(problem, start_of(pivot).with_move(turn)) for turn in turns]
            pivot = best([pivot, *found])
        return pivot

    def nfe(self, plan: Plan) -> int:
        """(1 + K N) C T."""
        return (1 + self.K * self.N) * plan.nfe()

    def depth(self, plan: Plan) -> int:
        """(1 + K) C T."""
        return (1 + self.K) * plan.nfe()
