"""Per-step random search: the control that no comparison of step-wise searches may leave out."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from tts.plan import Plan
from tts.search.base import Problem, Run, Search, step_by_step
from tts.search.segment import State, best
from tts.search.weights import drawn, softmax


class PerStepRandom(Search):
    """At each step N fresh noises; the best predicted image wins the step.

    With ``alpha`` one is drawn with a probability in proportion to ``exp(reward / alpha)``: SVDD-PM (Li et al. 2024,
    arXiv 2408.08252), whose released code takes the best, alpha 0. With ``block`` candidates go that many steps, each
    with noises of its own, before one is chosen: CoDe (Singh et al. 2025, arXiv 2502.00968). Both papers score the
    prediction from before a step's noise; here it is the new state's.
    """

    advice: ClassVar[str] = (
        "The first search to try where steps inject noise: on the embedded model it has the highest reward of the "
        "study's searches at nearly every cost. With alpha it samples in place of taking the best, which hacks "
        "less; with block it judges later, where single steps tell little."
    )
    budget: ClassVar[str] = "N"
    added: ClassVar[frozenset[str]] = frozenset({"alpha", "block"})
    N: int = Field(16, ge=1, description="fresh noises at each step")
    alpha: float = Field(0.0, ge=0, description="temperature of the choice, in units of the reward; 0: the best")
    block: int = Field(1, ge=1, description="steps that candidates go before one is chosen")

    @property
    def ordinal(self) -> bool:
        """It asks for the best only, unless it draws."""
        return not self.alpha

    def run(self, problem: Problem) -> Run:
        """At each step, or block of steps, N fresh noises; the best prediction goes on."""
        coins = problem.coins()

        def choose(state: State) -> Run:
            stop = self._stop(problem.plan, state.step)
            candidates = yield [problem.onward(state, stop, k, scored=True) for k in range(self.N)]
            if not self.alpha:
                return best(candidates)
            weights = softmax([each.value for each in candidates], 1 / self.alpha)
            return candidates[drawn(weights, coins.random())]

        return step_by_step(problem, choose)

    def _stop(self, plan: Plan, step: int) -> int:
        return min(step + self.block, plan.steps)

    def nfe(self, plan: Plan) -> int:
        """N C on each step of a block, which begins where noise is injected; C on the others."""
        total, step = plan.nfe(), plan.next_noisy_step(0)
        while step < plan.steps:
            stop = self._stop(plan, step)
            total += (self.N - 1) * plan.nfe(step, stop)
            step = plan.next_noisy_step(stop)
        return total

    def depth(self, plan: Plan) -> int:
        """C T."""
        return plan.nfe()
