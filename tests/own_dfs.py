"""Depth-first search with re-noising (arXiv 2505.23614, classical search), as a user would write it."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from tts.plan import Plan
from tts.search.base import INITIAL, Problem, Run, Search
from tts.search.segment import Segment, best


class DFS(Search):
    """If a predicted image scores below a threshold, go back by adding noise, and go on with other noises."""

    budget: ClassVar[str] = "tries"
    exact: ClassVar[bool] = False
    threshold: float = Field(0.5, description="of the reward, at every look")
    every: int = Field(4, ge=1, description="steps between looks")
    back: int = Field(4, ge=1, description="steps to go back")
    tries: int = Field(4, ge=0, description="ways back in all")

    def run(self, problem: Problem) -> Run:
        plan, turn = problem.plan, 0
        seen: dict[int, list] = {}

        def onward(step: int) -> tuple:
            return problem.default(step, min(step + self.every, plan.steps), turn)

        [at] = yield [Segment(problem.noise(INITIAL), onward(0), problem.condition, problem.reward)]
        while at.state.step < plan.steps:
            step = at.state.step
            seen.setdefault(step, []).append(at)
            start, actions, goal = at.state, onward(step), max(0, step - self.back)
            if at.value < self.threshold and turn < self.tries:
                turn += 1
                again = problem.default(goal, step, turn)
                start = start if goal else problem.noise(INITIAL, turn)
                actions = (problem.back(goal, turn), *again) if goal else again
            elif at.value < self.threshold:
                start = best(seen[step]).state
            [at] = yield [Segment(start, actions, problem.condition, problem.reward)]
        return at

    def turn_nfe(self, plan: Plan, look: int) -> int:
        """Forwards for going back from a look and reaching it again."""
        goal = max(0, look - self.back)
        return plan.back + plan.nfe(goal, look) if goal else plan.nfe(stop=look)

    def nfe(self, plan: Plan) -> int:
        looks = range(self.every, plan.steps, self.every)
        return plan.nfe() + self.tries * max((self.turn_nfe(plan, look) for look in looks), default=0)

    depth = nfe
