"""Search over paths (Ma et al. 2025, arXiv 2501.09732)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, model_validator

from tts.plan import Plan
from tts.search.base import Problem, Run, Search
from tts.search.segment import Segment, State, top


class Paths(Search):
    """Run N paths part of the way; then, in rounds, re-noise each in M ways, run further, and keep the best N.

    Shares are of all steps, rounded; the paper's are of a flow's time (first .89, back .78, on .81). With a sampler
    without noise, as in the paper, all variation comes from the initial noises and the re-noising.
    """

    advice: ClassVar[str] = (
        "Models whose early predictions are good: several starts run together, and added noise varies the details "
        "of the best."
    )
    budget: ClassVar[str] = "N"
    needs_injection: ClassVar[bool] = False  # a way back adds noise
    N: int = Field(2, ge=1, description="paths")
    M: int = Field(2, ge=1, description="branches of a path")
    first: float = Field(0.6, gt=0, le=1, description="share of the steps before the first round")
    back: float = Field(0.3, gt=0, lt=1, description="share of the steps that a branch goes back")
    on: float = Field(0.5, gt=0, le=1, description="share of the steps that it then runs forward, more than back")

    @model_validator(mode="after")
    def _gets_on(self) -> Paths:
        if self.on <= self.back:
            raise ValueError("on must be more than back")
        return self

    @property
    def ordinal(self) -> bool:
        """True: it only needs the best candidates."""
        return True

    def run(self, problem: Problem) -> Run:
        """Start the paths, then re-noise and prune them in rounds until they end."""
        plan = problem.plan
        first, turns = self._first(plan), self.rounds(plan)
        paths = yield [problem.trajectory(k, scored=not turns, stop=first) for k in range(self.N)]
        for turn, (_, goal, stop) in enumerate(turns):
            found = yield [
                self._branch(problem, path.state, goal, stop, turn, n * self.M + m)
                for n, path in enumerate(paths)
                for m in range(self.M)
            ]
            paths = top(found, self.N)
        return top(paths, 1)[0]

    def _branch(self, problem: Problem, state: State, goal: int, stop: int, turn: int, branch: int) -> Segment:
        """Actions back and on again, with noises that no path has had yet."""
        actions = (problem.back(goal, turn, branch), *problem.default(goal, stop, 1 + turn, 1 + branch))
        return Segment(state, actions, problem.condition, problem.reward)

    def _first(self, plan: Plan) -> int:
        return max(1, round(self.first * plan.steps))

    def rounds(self, plan: Plan) -> list[tuple[int, int, int]]:
        """For each round, the steps done before it, after its way back, and at its end."""
        back = max(1, round(self.back * plan.steps))
        on, at = max(back + 1, round(self.on * plan.steps)), self._first(plan)
        found = []
        while at < plan.steps:
            goal = max(0, at - back)
            stop = min(goal + on, plan.steps)
            found.append((at, goal, stop))
            at = stop
        return found

    def nfe(self, plan: Plan) -> int:
        """N C of the first part, and N M times the way back and C of the steps of each round."""
        branches = sum(self._turn(plan, goal, stop) for _, goal, stop in self.rounds(plan))
        return self.N * (plan.nfe(stop=self._first(plan)) + self.M * branches)

    def _turn(self, plan: Plan, goal: int, stop: int) -> int:
        return plan.back + plan.nfe(goal, stop)

    def depth(self, plan: Plan) -> int:
        """A path from its start through all of its rounds."""
        return plan.nfe(stop=self._first(plan)) + sum(
            self._turn(plan, goal, stop) for _, goal, stop in self.rounds(plan)
        )
