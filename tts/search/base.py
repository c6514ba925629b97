"""What a search is, and the problem as a search sees it."""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from tts.errors import SearchError
from tts.noise import Noise, derive_seed
from tts.plan import Condition, Plan
from tts.recipe import Back
from tts.search.segment import Evaluation, Segment, State, canonical_names
from tts.settings import Settings

Run: TypeAlias = Generator[list[Segment], list[Evaluation], Evaluation]
"""A search, or a part of one, at work; returns the evaluation that it chose."""

Scored: TypeAlias = bool | str | Iterable[str]
"""By what an image is scored: True by the problem's reward, False by nothing, else by the rewards that are named."""

INITIAL = -1
"""Stands for the initial noise where a step's index is expected."""


@dataclass(frozen=True)
class Problem:
    """A condition and a seed, seen by a search: it hands out noises and builds segments.

    Noise ``(step, candidate, stream)`` is the same for every search, so that all start from the same noises:
    the trajectory of best-of-1, of beam with one noise and of naive sampling is one and the same.

    ``scored`` tells by what a segment's image is scored: True by :attr:`reward`, False by nothing, else by the named
    rewards.

    Args:
        condition: class index or prompt.
        seed: names all randomness of the problem.
        plan: the sampler's steps.
        reward: name of the reward to search on, which :attr:`Evaluation.reward` is the value of.
        rewards: names of all that the search may ask for, :attr:`reward` always among them; kept sorted, each once.
    """

    condition: Condition
    seed: int
    plan: Plan
    reward: str
    rewards: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "rewards", canonical_names((self.reward, *self.rewards)))

    def coins(self, *parts: int | str) -> random.Random:
        """A stream of a search's own coin flips, named by some parts; it starts anew at each call."""
        return random.Random(derive_seed(self.seed, "coins", *parts))  # noqa: S311  (not for secrets)

    def noise(self, step: int, candidate: int = 0, stream: int = 0) -> Noise:
        """A fresh noise; ``stream`` tells beams or rollouts of one step apart."""
        return Noise(derive_seed(self.seed, "noise", step, candidate, stream))

    def default(self, first: int, stop: int, candidate: int = 0, stream: int = 0) -> tuple[Noise | None, ...]:
        """For the steps ``first .. stop - 1``, a fresh noise each, None where a noise changes nothing."""
        return tuple(
            self.noise(step, candidate, stream) if self.plan.injects[step] else None for step in range(first, stop)
        )

    def back(self, to: int, turn: int = 0, stream: int = 0) -> Back:
        """A way back to step ``to``, with a fresh noise of its own for each turn and stream."""
        return Back(Noise(derive_seed(self.seed, "back", to, turn, stream)), to)

    def trajectory(self, candidate: int = 0, scored: Scored = True, stop: int | None = None) -> Segment:
        """A whole trajectory with noises of its own, scored on its final image; with ``stop`` so many steps of it."""
        noises = self.default(0, self.plan.steps if stop is None else stop, candidate)
        return Segment(self.noise(INITIAL, candidate), noises, self.condition, self._names(scored))

    def start(self, stream: int = 0) -> Segment:
        """From the initial noise to the first step that injects one; there is nothing to choose before."""
        stop = self.plan.next_noisy_step(0)
        return Segment(self.noise(INITIAL, stream), (None,) * stop, self.condition)

    def step(self, state: State, noise: Noise | None, scored: Scored = True, ahead: int = 0) -> Segment:
        """One step with a noise, scored on the clean image predicted there, or after ``ahead`` steps to the end."""
        return Segment(state, (noise,), self.condition, self._names(scored), ahead)

    def on(self, state: State, stop: int, *noises: Noise, scored: Scored = False, ahead: int = 0) -> Segment:
        """On to step ``stop``, with these noises on the first steps that inject one and without noise on the others.

        Raises:
            SearchError: there are more noises than such steps, or the state has gone further already.
        """
        if stop < state.step:
            raise SearchError(f"on(): the state is at step {state.step}, after step {stop}; a way back is a Back")
        left = iter(noises)
        actions = tuple(next(left, None) if self.plan.injects[step] else None for step in range(state.step, stop))
        if next(left, None) is not None:
            raise SearchError(
                f"on(): {len(noises)} noises are given, and steps {state.step} to {stop} inject "
                f"{sum(self.plan.injects[state.step : stop])}; give no more than that"
            )
        return Segment(state, actions, self.condition, self._names(scored), ahead)

    def onward(self, state: State, stop: int, candidate: int = 0, stream: int = 0, scored: Scored = False) -> Segment:
        """On to step ``stop`` with fresh noises."""
        actions = self.default(state.step, stop, candidate, stream)
        return Segment(state, actions, self.condition, self._names(scored))

    def advance(self, state: State, stop: int | None = None, scored: Scored = False) -> Segment:
        """On to step ``stop`` (left out: to the end) without noise."""
        return self.on(state, self.plan.steps if stop is None else stop, scored=scored)

    def score(self, state: State, rewards: str | Iterable[str] | None = None, ahead: int = 0) -> Segment:
        """Score a state where it is, by some rewards (left out: by :attr:`reward`); it costs the look ahead only.

        A state that has no prediction yet cannot be scored without one: the initial noise of a sampler whose
        ``plan.initial_nfe`` is 0.
        """
        return Segment(state, (), self.condition, self.reward if rewards is None else rewards, ahead)

    def preview(self, noise: Noise, ahead: int) -> Segment:
        """An initial noise, scored on the image to which so many deterministic steps lead from it."""
        return Segment(noise, (), self.condition, self.reward, ahead)

    def _names(self, scored: Scored) -> str | Iterable[str]:
        if isinstance(scored, bool):
            return self.reward if scored else ()
        return scored


class Search(Settings):
    """A search algorithm with its settings.

    A subclass is a page of the paper: settings named by the paper's symbols, :meth:`run`, and what that costs.
    """

    budget: ClassVar[str | None] = None
    """The setting that grows along a curve where a configuration gives values and no name; None: there is none."""

    needs_injection: ClassVar[bool] = True
    """Whether the search has nothing to choose with a sampler that injects no noise."""

    only_initial: ClassVar[bool] = False
    """Whether the initial noise is all that it searches, so that a sampler must not replace it at the first step."""

    independent: ClassVar[bool] = False
    """Whether its one list of segments is independent samples, the best of which it returns: then the best of any
    fewer of them is known as well."""

    exact: ClassVar[bool] = True
    """Whether :meth:`nfe` and :meth:`depth` are what it spends; else bounds, as it decides on its way."""

    added: ClassVar[frozenset[str]] = frozenset()
    """Settings that rows were stored without once; at their defaults they stay out of the record, so that those rows
    keep their identity."""

    advice: ClassVar[str] = ""
    """When to take it, in a sentence or two for a reader who must choose."""

    version: ClassVar[int] = 1
    """Version of the algorithm; raised when the same settings choose other images, so that old rows do not pass for new
    ones."""

    def record(self) -> dict[str, Any]:
        """The settings as plain JSON values, without those of :attr:`added` that are at their defaults."""
        found = super().record()
        kept = {name for name in self.added if getattr(self, name) == type(self).model_fields[name].default}
        return {key: value for key, value in found.items() if key not in kept}

    @property
    def ordinal(self) -> bool:
        """Whether it only asks which evaluations are best (``best``, ``top``), never by how much."""
        return False

    @property
    def played(self) -> Search:
        """The search whose needs and bounds hold: itself, or the one that it plays."""
        return self

    def inner_code(self) -> dict[str, Any]:
        """What identifies a search that the settings name, beyond these; empty: they name none, or they say it all."""
        return {}

    def suits(self, plan: Plan, rewards: Sequence[str]) -> None:
        """Refuse a sampler's steps, or the rewards that a run searches on; raises a ``SettingError``."""

    def fits(self, shape: tuple[int, ...]) -> None:
        """Refuse the shape of a model's states, ``[C, H, W]``; raises a ``SettingError``."""

    def note(self, plan: Plan) -> str | None:
        """What a user should know before it runs on such steps, as the end of a sentence; None: nothing."""
        return None

    @abstractmethod
    def run(self, problem: Problem) -> Run:
        """Search one problem."""

    @abstractmethod
    def nfe(self, plan: Plan) -> int:
        """Denoiser forwards of one problem; an upper bound where the search itself decides."""

    def depth(self, plan: Plan) -> int:
        """Denoiser forwards that must follow one another, however many engines there are; as many as there are."""
        return self.nfe(plan)


def step_by_step(problem: Problem, choose: Callable[[State], Run]) -> Run:
    """Choose the noise of each step that injects one, and advance over the others.

    Args:
        problem: what to solve.
        choose: for a state before an injecting step, the rounds that end with that step's chosen evaluation.
    """
    plan = problem.plan
    [at] = yield [problem.start()]
    while at.state.step < plan.steps:
        if plan.injects[at.state.step]:
            at = yield from choose(at.state)
        else:
            [at] = yield [problem.advance(at.state, plan.next_noisy_step(at.state.step))]
    return at


def searched_nfe(plan: Plan, candidates: int, streams: int = 1) -> int:
    """Denoiser forwards when each injecting step tries some candidates and the other steps are taken once a stream."""
    return plan.initial_nfe * streams + sum(
        nfe * (candidates if injects else streams) for nfe, injects in zip(plan.nfe_per_step, plan.injects, strict=True)
    )
