"""Per-step random search: the control that no comparison of step-wise searches may leave out."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from tts.plan import Plan
from tts.search.base import Problem, Run, Search, searched_nfe, step_by_step
from tts.search.segment import State, best


class PerStepRandom(Search):
    """At each step N fresh noises; the best predicted image wins the step."""

    budget: ClassVar[str] = "N"
    N: int = Field(16, ge=1, description="fresh noises at each step")

    def run(self, problem: Problem) -> Run:
        """See :class:`Search`."""

        def choose(state: State) -> Run:
            noises = [problem.noise(state.step, k) for k in range(self.N)]
            candidates = yield [problem.step(state, noise) for noise in noises]
            return best(candidates)

        return step_by_step(problem, choose)

    def nfe(self, plan: Plan) -> int:
        """N C on each step that injects noise, C on the others."""
        return searched_nfe(plan, self.N)

    def depth(self, plan: Plan) -> int:
        """C T."""
        return plan.nfe()
