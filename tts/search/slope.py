"""Slope: mixtures of a step's noises, weighted by reward, as extra candidates; a search of this project.

Nearest prior work: Demon (arXiv 2410.05760) continues from such a mixture unseen; evolution strategies; noise
optimisation by rewards (2506.13834), ZeNO's mixture of initial noises (2605.11347), NTRK (2606.18066).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, TypeAlias

from pydantic import Field, model_validator

from tts.noise import Noise
from tts.plan import Plan
from tts.search.base import Problem, Run, Search, searched_nfe, step_by_step
from tts.search.demon import mixture
from tts.search.linear_fit import slope_of, unit
from tts.search.segment import Evaluation, State, best

Vector: TypeAlias = list[float]
"""A candidate: what each of the step's fresh noises weighs in it."""


class Slope(Search):
    """Each step tries N - m fresh noises, then m mixtures of them weighted by reward; the best of all N continues.

    If the reward were linear in a step's noise, the best of n = 16 would gain about 1.8 standard deviations, and their
    mixture sqrt(n - 1). If it is not, at most m candidates are wasted: a mixture is chosen only if it scores best. The
    first mixture is the sum of the best candidate's direction and the slope's, the second is the slope itself; further
    ones give the best candidate less and less weight.

    ``rounds`` divides the fresh noises into groups: groups after the first are moved along the slope estimated so far,
    so that the next estimate is made where the search goes. Below N = 4 there are too few noises for a mixture: the
    second candidate is then the opposite of the first noise. The better of these two gains .80 standard deviations, the
    better of two independent noises .56.

    ``trust`` stops mixtures that do not win: they are tried only while (wins + 1) / (tries + 1) is at least this value.
    Both are counted over the steps before, each step back ``memory`` times less. As both fade, mixtures that were
    stopped are tried again after some steps. Where none is tried, and if all rewards are equal or fewer than two
    candidates could be scored, all candidates are fresh noises, as in per-step random search, but for the opposite of
    the first one where ``opposite`` holds.
    """

    advice: ClassVar[str] = (
        "Rewards that are smooth in the noise, with about eight candidates per step or more. It tries mixtures that "
        "should score higher, and keeps a fresh noise if they do not."
    )
    budget: ClassVar[str] = "N"
    N: int = Field(16, ge=2, description="candidates at each step")
    m: int | None = Field(None, ge=0, description="mixtures among them; default: 2, 1 below N = 7, 0 below 4")
    rounds: int = Field(1, ge=1, description="groups of fresh noises, each moved along the slope estimated before")
    opposite: bool | None = Field(
        None, description="the second candidate is the opposite of the first noise; default: if N < 4"
    )
    trust: float = Field(
        0.4, ge=0, le=1, description="least (wins + 1) / (tries + 1) with which mixtures are tried; 0: always tried"
    )
    memory: float = Field(0.7, ge=0, le=1, description="weight of a step's tries and wins against the next one's")

    @model_validator(mode="after")
    def _fits(self) -> Slope:
        if self.m is not None and self.m > self.N - 2:
            raise ValueError(f"m must be at most N - 2 = {self.N - 2}, so that there are two noises to mix")
        return self

    def run(self, problem: Problem) -> Run:
        """At each step, try fresh noises, then mixtures that should score higher; the best continues."""
        wins, tries = 0.0, 0.0

        def choose(state: State) -> Run:
            nonlocal wins, tries
            noises = [problem.noise(state.step, k) for k in range(self.N)]
            trusted = (wins + 1) / (tries + 1) >= self.trust
            made, found, leaned = list[Vector](), list[Evaluation](), list[Evaluation]()
            for size, mixes in self._groups:
                slope = slope_of(made, [each.value for each in found]) if trusted else []
                new = self._next(made, found, slope, size, mixes)
                made += new
                answers = yield [problem.step(state, noise_of(noises, vector)) for vector in new]
                found += answers
                leaned += answers if slope else []
            chosen = best(found)
            wins, tries = self.memory * wins, self.memory * tries
            if leaned:
                wins, tries = wins + any(chosen is each for each in leaned), tries + 1
            return chosen

        return step_by_step(problem, choose)

    def _next(
        self, made: Sequence[Vector], found: Sequence[Evaluation], slope: Vector, size: int, mixes: bool
    ) -> list[Vector]:
        """The candidates of a group: mixtures, or fresh noises, around the slope if there is one."""
        if mixes and slope:
            top = max(range(len(found)), key=lambda k: found[k].value)
            return leaning(slope, made[top], size)
        used = sum(any(vector[k] for vector in made) for k in range(self.N))
        fresh = [[float(k == used + n) for k in range(self.N)] for n in range(size)]
        if not made and self._opposes:
            fresh[1:] = [[-value for value in fresh[0]], *fresh[1:-1]]
        return [[a + b for a, b in zip(slope, vector, strict=True)] for vector in fresh] if slope else fresh

    @property
    def _groups(self) -> list[tuple[int, bool]]:
        """Sizes of the groups of candidates, and whether it is of mixtures."""
        fresh = self.N - self.mixtures
        rounds = min(self.rounds, fresh // 2) or 1
        sizes = [(fresh + n) // rounds for n in range(rounds)]
        return [*((size, False) for size in sizes), *([(self.mixtures, True)] if self.mixtures else [])]

    @property
    def _opposes(self) -> bool:
        return self.N < 4 if self.opposite is None else self.opposite

    @property
    def mixtures(self) -> int:
        """The number of mixtures: m, or its default."""
        if self.m is not None:
            return self.m
        return 0 if self.N < 4 else 1 if self.N < 7 else 2

    def nfe(self, plan: Plan) -> int:
        """N C on each step that injects noise, C on the others."""
        return searched_nfe(plan, self.N)

    def depth(self, plan: Plan) -> int:
        """As many C as there are groups on each step that injects noise, C on the others."""
        return searched_nfe(plan, len(self._groups))


def leaning(slope: Vector, top: Vector, count: int) -> list[Vector]:
    """Vectors of mixtures: the slope at unit length, and less and less of the best candidate's direction beside it."""
    beside = unit(top)
    shares = [1.0, *(0.0 if k == 1 else 1 / k for k in range(1, count))][:count]
    return [[a + share * b for a, b in zip(slope, beside, strict=True)] for share in shares]


def noise_of(noises: Sequence[Noise], vector: Vector) -> Noise:
    """The noise that a candidate stands for, at a noise's length."""
    used = [(noise, weight) for noise, weight in zip(noises, vector, strict=True) if weight]
    if [weight for _, weight in used] == [1.0]:
        return used[0][0]
    return mixture([noise for noise, _ in used], [weight for _, weight in used])
