"""A user's own policy over candidates: a bandit that spends forwards where predictions are best."""

from __future__ import annotations

import math

from pydantic import Field

from tts.plan import Plan
from tts.search.base import Problem, Run, Search
from tts.search.segment import Evaluation, best


class UpperBound(Search):
    """N trajectories; the one with the highest upper bound goes on by a step, until two are finished."""

    needs_injection = False
    exact = False
    N: int = Field(4, ge=2, description="trajectories")
    c: float = Field(0.05, ge=0, description="width of the bound")

    def run(self, problem: Problem) -> Run:
        steps, lanes = problem.plan.steps, range(self.N)
        found: list[Evaluation] = yield [problem.trajectory(k, stop=1) for k in lanes]
        while sum(each.state.step == steps for each in found) < 2:
            open_lanes = [k for k in lanes if found[k].state.step < steps]
            k = max(open_lanes, key=lambda lane: found[lane].value + self.c / math.sqrt(found[lane].state.step))
            [found[k]] = yield [problem.onward(found[k].state, found[k].state.step + 1, k, scored=True)]
        return best(each for each in found if each.state.step == steps)

    def nfe(self, plan: Plan) -> int:
        return self.N * plan.nfe()
