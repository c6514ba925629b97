"""Plain sampling: the curve's first point and every search's baseline."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from tts.plan import Plan
from tts.search.base import INITIAL, Problem, Run, Search
from tts.search.segment import Segment


class Naive(Search):
    """One trajectory, without search.

    With ``looks`` every prediction on its way is scored, too, which costs no forwards: what pruning would have seen of
    that candidate. A table of rewards (``tts-bench tabulate``) is made of such trajectories.
    """

    advice: ClassVar[str] = "The baseline: what the model draws without search, and what every gain is measured from."
    needs_injection: ClassVar[bool] = False
    added: ClassVar[frozenset[str]] = frozenset({"candidate", "looks"})
    candidate: int = Field(0, ge=0, description="which of the problem's trajectories; best of N has those below N")
    looks: bool = Field(False, description="score the image that each step predicts, too")

    def run(self, problem: Problem) -> Run:
        """The whole trajectory as one segment; with `looks` one a step, each scored."""
        if not self.looks:
            [only] = yield [problem.trajectory(self.candidate)]
            return only
        plan, k = problem.plan, self.candidate
        begun = Segment(problem.noise(INITIAL, k), (), problem.condition, problem.reward)
        [at] = yield [begun if plan.predicts(()) else problem.trajectory(k, stop=1)]
        while at.state.step < plan.steps:
            [at] = yield [problem.onward(at.state, at.state.step + 1, k, scored=True)]
        return at

    def nfe(self, plan: Plan) -> int:
        """C T."""
        return plan.nfe()

    def depth(self, plan: Plan) -> int:
        """C T."""
        return plan.nfe()
