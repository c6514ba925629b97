"""Best of N (Ma et al. 2025, arXiv 2501.09732, "random search")."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from tts.plan import Plan
from tts.search.base import Problem, Run, Search
from tts.search.segment import best


class BestOfN(Search):
    """N whole trajectories, each with its own noises; the best final image wins."""

    advice: ClassVar[str] = (
        "The control at equal compute: it works with every sampler, its samples are independent, and a search "
        "that cannot beat it is not worth its code. Its gain grows slowly, with the logarithm of N."
    )
    budget: ClassVar[str] = "N"
    needs_injection: ClassVar[bool] = False  # the initial noises differ
    independent: ClassVar[bool] = True
    N: int = Field(4, ge=1, description="trajectories")

    @property
    def ordinal(self) -> bool:
        """It asks for the best only."""
        return True

    def run(self, problem: Problem) -> Run:
        """All trajectories as one list of segments; the best final image is the result."""
        candidates = yield [problem.trajectory(k) for k in range(self.N)]
        return best(candidates)

    def nfe(self, plan: Plan) -> int:
        """N C T."""
        return self.N * plan.nfe()

    def depth(self, plan: Plan) -> int:
        """C T."""
        return plan.nfe()
