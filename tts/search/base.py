"""What a search is, and the problem as a search sees it."""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from tts.noise import Noise, derive_seed
from tts.plan import Condition, Plan
from tts.recipe import Back
from tts.search.segment import Evaluation, Segment, State
from tts.settings import Settings

Run: TypeAlias = Generator[list[Segment], list[Evaluation], Evaluation]
"""A search, or a part of one, at work; returns the evaluation that it chose."""

INITIAL = -1
"""Stands for the initial noise where a step's index is expected."""


@dataclass(frozen=True)
class Problem:
    """A condition and a seed, seen by a search: it hands out noises and builds segments.

    Noise ``(step, candidate, lane)`` is the same for every search, so that all start from the same noises:
    the trajectory of best-of-1, of beam with one noise and of naive sampling is one and the same.

    Args:
        condition: class index or prompt.
        seed: names all randomness of the problem.
        plan: the sampler's steps.
        reward: name of the reward to search on.
    """

    condition: Condition
    seed: int
    plan: Plan
    reward: str

    def coins(self) -> random.Random:
        """A new stream for a search's own coin flips."""
        return random.Random(derive_seed(self.seed, "coins"))  # noqa: S311  (not for secrets)

    def noise(self, step: int, candidate: int = 0, lane: int = 0) -> Noise:
        """A fresh noise; ``lane`` tells beams or rollouts of one step apart."""
        return Noise(derive_seed(self.seed, "noise", step, candidate, lane))

    def default(self, first: int, stop: int, candidate: int = 0, lane: int = 0) -> tuple[Noise | None, ...]:
        """For the steps ``first .. stop - 1``, a fresh noise each, None where a noise changes nothing."""
        return tuple(
            self.noise(step, candidate, lane) if self.plan.injects[step] else None for step in range(first, stop)
        )

    def back(self, to: int, turn: int = 0, lane: int = 0) -> Back:
        """A way back to step ``to``, with a fresh noise of its own for each turn and lane."""
        return Back(Noise(derive_seed(self.seed, "back", to, turn, lane)), to)

    def trajectory(self, candidate: int = 0) -> Segment:
        """A whole trajectory with noises of its own, scored on its final image."""
        noises = self.default(0, self.plan.steps, candidate)
        return Segment(self.noise(INITIAL, candidate), noises, self.condition, self.reward)

    def open(self, lane: int = 0) -> Segment:
        """From the initial noise to the first step that injects one; there is nothing to choose before."""
        stop = self.plan.next_action(0)
        return Segment(self.noise(INITIAL, lane), (None,) * stop, self.condition)

    def step(self, state: State, noise: Noise | None, scored: bool = True) -> Segment:
        """One step with a noise, scored on the predicted clean image."""
        return Segment(state, (noise,), self.condition, self.reward if scored else None)

    def coast(self, state: State, stop: int | None = None, scored: bool = False) -> Segment:
        """On to step ``stop`` (left out: to the end) without noise."""
        steps = (self.plan.steps if stop is None else stop) - state.step
        return Segment(state, (None,) * steps, self.condition, self.reward if scored else None)


class Search(Settings):
    """A search algorithm with its settings.

    A subclass is a page of the paper: settings named by the paper's symbols, :meth:`run`, and what that costs.
    """

    budget: ClassVar[str | None] = None
    """The setting that grows along a curve where a configuration gives values and no name; None: there is none."""

    needs_injection: ClassVar[bool] = True
    """Whether the search has nothing to choose with a sampler that injects no noise."""

    independent: ClassVar[bool] = False
    """Whether its one list of segments is independent samples, the best of which it returns: then the best of any
    fewer of them is known as well."""

    exact: ClassVar[bool] = True
    """Whether :meth:`nfe` and :meth:`depth` are what it spends; else bounds, as it decides on its way."""

    @abstractmethod
    def run(self, problem: Problem) -> Run:
        """Search one problem."""

    @abstractmethod
    def nfe(self, plan: Plan) -> int:
        """Denoiser forwards of one problem; an upper bound where the search itself decides."""

    @abstractmethod
    def depth(self, plan: Plan) -> int:
        """Denoiser forwards that must follow one another, however many engines there are."""


def step_by_step(problem: Problem, choose: Callable[[State], Run]) -> Run:
    """Choose the noise of each step that injects one, and coast over the others.

    Args:
        problem: what to solve.
        choose: for a state before an injecting step, the rounds that end with that step's chosen evaluation.
    """
    plan = problem.plan
    [at] = yield [problem.open()]
    while at.state.step < plan.steps:
        if plan.injects[at.state.step]:
            at = yield from choose(at.state)
        else:
            [at] = yield [problem.coast(at.state, plan.next_action(at.state.step))]
    return at


def searched_nfe(plan: Plan, candidates: int, lanes: int = 1) -> int:
    """Denoiser forwards when each injecting step tries some candidates and the other steps are taken once a lane."""
    return plan.opening * lanes + sum(
        calls * (candidates if injects else lanes) for calls, injects in zip(plan.calls, plan.injects, strict=True)
    )
