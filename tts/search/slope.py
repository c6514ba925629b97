"""Slope: the mixture of a step's noises by their rewards, as a further candidate; this project's own.

Nearest prior work: Demon (arXiv 2410.05760) goes on from such a mixture unseen; evolution strategies; noise
optimisation by rewards (2506.13834), ZeNO's mixture of initial noises (2605.11347), NTRK (2606.18066).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field, model_validator

from tts.plan import Plan
from tts.search.base import Problem, Run, Search, searched_nfe, step_by_step
from tts.search.demon import mixture
from tts.search.segment import Evaluation, State, best
from tts.search.weights import standardised


class Slope(Search):
    """At each step N - m fresh noises, then m mixtures of them by their standardised rewards; the best of all goes on.

    Were the reward linear in a step's noise, the best of n would gain about 1.8 spreads (n = 16) and their mixture
    sqrt(n - 1); of two noises less than the best of three. Where it is not, m candidates are lost at most: a mixture is
    taken only if it is the best that was seen. The first mixture leans on the best noise (the sum of its direction and
    the mixture's), the second is the mixture itself; others lean less and less on the best.

    With ``trust`` a mixture is tried only while mixtures have been winning: of those tried at the last few steps
    (each step back counts ``memory`` times less) at least that share must have been the step's best. Else, and
    where the fresh rewards are all equal or fewer than two could be scored, the m candidates are fresh noises, as in
    per-step random search.
    """

    budget: ClassVar[str] = "N"
    N: int = Field(16, ge=2, description="candidates at each step")
    m: int | None = Field(None, ge=0, description="mixtures among them; left out: 2, 1 at N = 4, 0 below")
    trust: float = Field(0.4, ge=0, le=1, description="share of wins below which no mixture is tried; 0: always tried")
    memory: float = Field(0.7, ge=0, le=1, description="weight of a step's win against the next one's")

    @model_validator(mode="after")
    def _fits(self) -> Slope:
        if self.m is not None and self.m > self.N - 2:
            raise ValueError(f"m must be at most N - 2 = {self.N - 2}, so that there are two noises to mix")
        return self

    def run(self, problem: Problem) -> Run:
        """See :class:`Search`."""
        mixtures, wins, tries = self.mixtures, 0.0, 0.0

        def choose(state: State) -> Run:
            nonlocal wins, tries
            step = state.step
            noises = [problem.noise(step, k) for k in range(self.N)]
            fresh, rest = noises[: self.N - mixtures], noises[self.N - mixtures :]
            found = yield [problem.step(state, noise) for noise in fresh]
            scores = standardised([each.value for each in found])
            mixed = any(scores) and (wins + 1) / (tries + 1) >= self.trust
            if mixed:
                rest = [mixture(fresh, weights) for weights in leaning(scores, mixtures)]
            more: list[Evaluation] = (yield [problem.step(state, noise) for noise in rest]) if rest else []
            chosen = best([*found, *more])
            wins, tries = self.memory * wins, self.memory * tries
            if mixed:
                wins, tries = wins + any(chosen is each for each in more), tries + 1
            return chosen

        return step_by_step(problem, choose)

    @property
    def mixtures(self) -> int:
        """M, or what stands for it."""
        if self.m is not None:
            return self.m
        return 0 if self.N < 4 else 1 if self.N < 5 else 2

    def nfe(self, plan: Plan) -> int:
        """N C on each step that injects noise, C on the others."""
        return searched_nfe(plan, self.N)

    def depth(self, plan: Plan) -> int:
        """2 C on each step that injects noise, C on the others."""
        return searched_nfe(plan, 2 if self.mixtures else 1)


def leaning(scores: Sequence[float], count: int) -> list[list[float]]:
    """Weights of mixtures: by standardised rewards at unit length, and less and less of the best noise beside that."""
    length = math.sqrt(math.fsum(score * score for score in scores))
    top = max(range(len(scores)), key=lambda k: scores[k])
    slope = [score / length for score in scores]
    shares = [1.0, *(0.0 if k == 1 else 1 / k for k in range(1, count))][:count]
    return [[weight + share * (k == top) for k, weight in enumerate(slope)] for share in shares]
