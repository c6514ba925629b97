"""Trust regions on the initial noise (TRS: arXiv 2603.14504)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pydantic import Field

from tts.noise import Box
from tts.plan import Plan
from tts.search.base import INITIAL, Problem, Run, Search
from tts.search.initial import fresh, start_of, whole
from tts.search.segment import Evaluation, best, top

PATIENCE, FACTOR = 3, 1.5
"""Rounds of one kind in a row after which a region's edge changes, and by what."""
SHARES = (0.1, 0.9)
"""Least and greatest share of the coordinates that a candidate changes."""


@dataclass
class Region:
    """A cube around the best noise of its own; ``streak``: successes in a row, or failures if below 0."""

    centre: Evaluation
    length: float
    streak: int = 0

    def learn(self, found: Evaluation, shortest: float, longest: float) -> None:
        """Move to a better noise; grow after three successes in a row, shrink after three failures."""
        if found.value > self.centre.value:
            self.centre, self.streak = found, max(0, self.streak) + 1
        else:
            self.streak = min(0, self.streak) - 1
        if abs(self.streak) == PATIENCE:
            factor = FACTOR if self.streak > 0 else 1 / FACTOR
            self.length, self.streak = min(longest, max(shortest, factor * self.length)), 0


class TRS(Search):
    """W rounds of N fresh initial noises; around the best R of them regions, searched for K rounds of N candidates.

    A candidate moves a random share of its region's coordinates (10 to 90 %) uniformly inside a cube. The points are
    random, the paper's are Sobol points. Images are final ones; the steps' noises are those of plain sampling.
    """

    advice: ClassVar[str] = (
        "Few-step models and samplers without noise at budgets of hundreds of images: trust regions around the "
        "best initial noises. By its paper it trails zero-order search at small budgets; on the embedded model "
        "it does not."
    )
    budget: ClassVar[str] = "K"
    needs_injection: ClassVar[bool] = False
    only_initial: ClassVar[bool] = True
    N: int = Field(4, ge=1, description="candidates a round, shared by the regions in turn")
    K: int = Field(3, ge=0, description="rounds in the regions")
    W: int = Field(1, ge=1, description="rounds of fresh noises before")
    R: int = Field(2, ge=1, description="regions, at most N")
    length: float = Field(0.8, gt=0, description="edge of a region at first")
    shortest: float = Field(0.05, gt=0, description="least edge")
    longest: float = Field(2.4, gt=0, description="greatest edge")

    def run(self, problem: Problem) -> Run:
        """Fresh initial noises first, then rounds of candidates in boxes around the best."""
        coins, found = problem.coins(), list[Evaluation]()
        for w in range(self.W):
            starts = fresh(problem, range(w * self.N, (w + 1) * self.N))
            found += yield [whole(problem, start) for start in starts]
        regions = [Region(centre, self.length) for centre in top(found, min(self.R, self.N))]
        for k in range(self.K):
            turns = [regions[n % len(regions)] for n in range(self.N)]
            boxes = [
                Box(problem.noise(INITIAL, (self.W + k) * self.N + n).seed, region.length, coins.uniform(*SHARES))
                for n, region in enumerate(turns)
            ]
            found = yield [
                whole(problem, start_of(region.centre).with_move(box)) for region, box in zip(turns, boxes, strict=True)
            ]
            for place, region in enumerate(regions):
                region.learn(best(found[place :: len(regions)]), self.shortest, self.longest)
        return best(region.centre for region in regions)

    def nfe(self, plan: Plan) -> int:
        """(W + K) N C T."""
        return (self.W + self.K) * self.N * plan.nfe()

    def depth(self, plan: Plan) -> int:
        """(W + K) C T."""
        return (self.W + self.K) * plan.nfe()
