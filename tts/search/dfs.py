"""Depth-first search with re-noising, of classical search (Zhang et al. 2025, arXiv 2505.23614)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from tts.plan import Plan
from tts.search.base import INITIAL, Problem, Run, Search
from tts.search.segment import Evaluation, Segment, State, best


class DFS(Search):
    """If a predicted image scores below a threshold, go back some steps by adding noise, and continue with new noises.

    The prediction is scored after every ``every`` steps. When no tries are left, the best state seen at that step
    continues. To go back before the first step means a new initial noise. The authors' threshold falls with the noise
    level; here it is one number, in units of the reward.
    """

    advice: ClassVar[str] = (
        "A reward with a known threshold that most images pass: it spends forwards only on images below the threshold."
    )
    budget: ClassVar[str] = "tries"
    exact: ClassVar[bool] = False
    needs_injection: ClassVar[bool] = False  # a way back adds noise
    threshold: float = Field(0.5, description="least reward of a predicted image")
    every: int = Field(4, ge=1, description="steps between scored predictions")
    back: int = Field(4, ge=1, description="steps to go back")
    tries: int = Field(4, ge=0, description="times to go back, in all")

    def note(self, plan: Plan) -> str | None:
        """Whether it looks at no prediction."""
        if self.every < plan.steps:
            return None
        return (
            f"looks at no prediction and so is plain sampling, as every = {self.every} and the sampler has "
            f"{plan.steps} steps; set every lower"
        )

    def run(self, problem: Problem) -> Run:
        """Continue where the prediction is good enough; else go back some steps, while tries last."""
        plan, turn = problem.plan, 0
        seen: dict[int, list[Evaluation]] = {}
        [at] = yield [problem.trajectory(stop=min(self.every, plan.steps))]
        while at.state.step < plan.steps:
            step = at.state.step
            seen.setdefault(step, []).append(at)
            if at.value >= self.threshold or turn == self.tries:
                start = at if at.value >= self.threshold else best(seen[step])
                stop = min(step + self.every, plan.steps)
                [at] = yield [problem.onward(start.state, stop, turn, scored=True)]
            else:
                turn += 1
                [at] = yield [self._again(problem, at.state, turn)]
        return at

    def _again(self, problem: Problem, state: State, turn: int) -> Segment:
        """Back from a look, and to it again."""
        goal = max(0, state.step - self.back)
        noises = problem.default(goal, state.step, turn)
        start, actions = (
            (state, (problem.back(goal, turn), *noises)) if goal else (problem.noise(INITIAL, turn), noises)
        )
        return Segment(start, actions, problem.condition, problem.reward)

    def nfe(self, plan: Plan) -> int:
        """C, and at most ``tries`` turns of the dearest look."""
        looks = range(self.every, plan.steps, self.every)
        return plan.nfe() + self.tries * max((self._turn(plan, look) for look in looks), default=0)

    def _turn(self, plan: Plan, look: int) -> int:
        goal = max(0, look - self.back)
        return plan.back + plan.nfe(goal, look) if goal else plan.nfe(stop=look)

    def depth(self, plan: Plan) -> int:
        """All forwards: each waits for the one before."""
        return self.nfe(plan)
