"""Rollover budget forcing (Kim et al. 2025, arXiv 2503.19385)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from tts.plan import Plan
from tts.search.base import Problem, Run, Search, step_by_step
from tts.search.segment import Evaluation, State, best


class RBF(Search):
    """Try a step's candidates one after another; the first that beats the best reward so far ends the step.

    Forwards that a step does not use go to later steps. If no candidate beats the best reward, the step's best
    candidate continues and the best reward stays. The last step spends all remaining forwards, so the total is NFE,
    except for a remainder too small for another candidate. A step without cost has one candidate. If an early
    prediction scores above all later ones, every later step spends its whole share.
    """

    advice: ClassVar[str] = (
        "A hard limit on forwards, which it spends where progress is slow. It requests one image at a time, so "
        "full batches need many problems at once."
    )
    budget: ClassVar[str] = "NFE"
    exact: ClassVar[bool] = False  # where noisy steps differ in cost, the rest depends on the way
    NFE: int = Field(256, ge=1, description="denoiser forwards in all; never less than a trajectory's")

    def run(self, problem: Problem) -> Run:
        """At each step, try candidates one by one until one beats the best reward so far or the budget is spent."""
        plan, spent, threshold = problem.plan, 0, -float("inf")
        paid = _paid_steps(plan)
        whole = max(self.NFE, plan.nfe()) - _fixed(plan)

        def choose(state: State) -> Run:
            nonlocal spent, threshold
            step, cost = state.step, plan.nfe_per_step[state.step]
            last, found = step in paid[-1:], list[Evaluation]()
            while not found or self._goes_on(plan, step, spent + cost, whole):
                [candidate] = yield [problem.step(state, problem.noise(step, len(found)))]
                found.append(candidate)
                spent += cost
                if candidate.value > threshold:
                    threshold = candidate.value
                    if not last:
                        return candidate
            return best(found)

        return step_by_step(problem, choose)

    def _goes_on(self, plan: Plan, step: int, spent: int, whole: int) -> bool:
        """Whether the step may spend ``spent`` forwards in all, of which later steps keep their least share."""
        if step not in (paid := _paid_steps(plan)):
            return False
        later = sum(plan.nfe_per_step[other] for other in paid if other > step)
        return spent * len(paid) <= whole * (paid.index(step) + 1) and spent <= whole - later

    def nfe(self, plan: Plan) -> int:
        """NFE, less what is too little for a candidate."""
        costs = {plan.nfe_per_step[step] for step in _paid_steps(plan)}
        if len(costs) != 1:
            return max(self.NFE, plan.nfe())
        [cost] = costs
        return max(plan.nfe(), self.NFE - (self.NFE - _fixed(plan)) % cost)

    def depth(self, plan: Plan) -> int:
        """All forwards: each waits for the one before."""
        return self.nfe(plan)


def _paid_steps(plan: Plan) -> list[int]:
    """The steps that inject noise and cost something."""
    return [step for step in plan.noisy_steps if plan.nfe_per_step[step]]


def _fixed(plan: Plan) -> int:
    """Forwards of the other steps."""
    return plan.nfe() - sum(plan.nfe_per_step[step] for step in plan.noisy_steps)
