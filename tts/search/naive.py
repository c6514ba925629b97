"""Plain sampling: the curve's first point and every search's baseline."""

from __future__ import annotations

from typing import ClassVar

from tts.plan import Plan
from tts.search.base import Problem, Run, Search


class Naive(Search):
    """One trajectory, nothing searched."""

    advice: ClassVar[str] = "The baseline: what the model draws without search, and what every gain is measured from."
    needs_injection: ClassVar[bool] = False

    def run(self, problem: Problem) -> Run:
        """See :class:`Search`."""
        [only] = yield [problem.trajectory()]
        return only

    def nfe(self, plan: Plan) -> int:
        """C T."""
        return plan.nfe()

    def depth(self, plan: Plan) -> int:
        """C T."""
        return plan.nfe()
