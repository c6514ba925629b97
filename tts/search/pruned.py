"""Best of N, thinned out on the way (TTSp: Zhang et al. 2025, arXiv 2511.22242)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from tts.plan import Plan
from tts.search.base import Problem, Run, Search
from tts.search.segment import best, top


class Pruned(Search):
    """Start N trajectories; after some steps only the share ``keep`` with the best predicted images continues.

    The defaults are the paper's, after 2, 6 and 11 of 20 steps; its verifier, finetuned for each noise level, is not.
    """

    advice: ClassVar[str] = (
        "Best of N where early predictions rank images well: it spends on the promising starts what best of N "
        "spends on all. Where they do not, it throws the best one away."
    )
    budget: ClassVar[str] = "N"
    needs_injection: ClassVar[bool] = False  # the initial noises differ
    N: int = Field(16, ge=1, description="trajectories at first")
    keep: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field((0.4, 0.4, 0.5), description="shares that continue")
    at: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        (0.1, 0.3, 0.55), description="when, as shares of the steps"
    )

    @model_validator(mode="after")
    def _fits(self) -> Pruned:
        if len(self.keep) != len(self.at) or list(self.at) != sorted(self.at):
            raise ValueError("keep and at must be of one length, and at must rise")
        return self

    @property
    def ordinal(self) -> bool:
        """True: it only needs the best candidates."""
        return True

    def run(self, problem: Problem) -> Run:
        """Runs all trajectories to each pruning step and keeps the best share of them."""
        parts = self.parts(problem.plan)
        lanes: Sequence[int] = range(self.N)
        found = yield [problem.trajectory(k, stop=parts[0][0]) for k in lanes]
        for stop, count in parts[1:]:
            kept = {id(each) for each in top(found, count)}
            left = [(k, each) for k, each in zip(lanes, found, strict=True) if id(each) in kept]
            lanes = [k for k, _ in left]
            found = yield [problem.onward(each.state, stop, k, scored=True) for k, each in left]
        return best(found)

    def parts(self, plan: Plan) -> list[tuple[int, int]]:
        """For each part of the way, the step where it ends and the number of trajectories that take it."""
        cuts: dict[int, int] = {}
        count = self.N
        for share, keep in zip(self.at, self.keep, strict=True):
            step = max(1, round(share * plan.steps))
            count = max(1, math.ceil(count * keep - 1e-9))
            if step < plan.steps:
                cuts[step] = count
        stops, counts = [*cuts, plan.steps], [self.N, *cuts.values()]
        return list(zip(stops, counts, strict=True))

    def nfe(self, plan: Plan) -> int:
        """N C of the first part, and of each part as many as still go on."""
        total, before = plan.initial_nfe * self.N, 0
        for stop, count in self.parts(plan):
            total, before = total + count * plan.nfe(before, stop), stop
        return total

    def depth(self, plan: Plan) -> int:
        """C T."""
        return plan.nfe()
