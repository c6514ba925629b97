"""The one primitive that every search is made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tts.noise import Noise
from tts.plan import Condition
from tts.recipe import Action, Recipe, end

ALL = "*"
"""In place of a reward's name: every reward of the run, and the image itself."""


@dataclass(frozen=True, slots=True, weakref_slot=True)
class State:
    """A handle to a trajectory's state, which an engine holds for as long as the handle lives.

    Args:
        key: names the state in its engine.
        engine: index of the engine that holds it.
        step: steps done.
        noises: the recipe of the whole trajectory so far: the initial noise and every action since.
    """

    key: int
    engine: int
    step: int
    noises: Recipe


@dataclass(frozen=True, slots=True, init=False)
class Segment:
    """Go on from a state (or an initial noise) by some actions, and score where that leads, or not.

    With ``ahead`` the rewards are not of the state's own prediction: from where the actions led, so many deterministic
    steps go on to the end of the trajectory, on a grid as much coarser (:meth:`tts.plan.Plan.grid_ahead`), and the
    image there is scored. Nothing of that is kept; the state is where the actions led.

    Args:
        start: a state, or the initial noise of a new trajectory.
        noises: the actions: a noise steps with it, None takes the deterministic step, a :class:`~tts.recipe.Back`
            carries the state back.
        condition: class index or prompt.
        rewards: names of the rewards of the predicted clean image (after the last step: of the final image), kept
            sorted, each once; one name may be given as it is. None leaves it unscored; :data:`ALL` scores all and
            renders the image.
        ahead: deterministic steps to the image that is scored; 0: the one that is predicted without any.
    """

    start: State | Noise
    noises: tuple[Action, ...]
    condition: Condition
    rewards: tuple[str, ...]
    ahead: int

    def __init__(
        self,
        start: State | Noise,
        noises: tuple[Action, ...],
        condition: Condition,
        rewards: str | Iterable[str] | None = None,
        ahead: int = 0,
    ) -> None:
        keep = object.__setattr__  # it is frozen
        keep(self, "start", start)
        keep(self, "noises", noises)
        keep(self, "condition", condition)
        keep(self, "rewards", canonical_names(rewards))
        keep(self, "ahead", ahead)

    @property
    def whole(self) -> bool:
        """Whether it asks for all rewards and the image."""
        return self.rewards == (ALL,)

    @property
    def first(self) -> int:
        """Index of the first step to take."""
        return self.start.step if isinstance(self.start, State) else 0

    @property
    def stop(self) -> int:
        """Steps done at its end."""
        return end(self.first, self.noises)

    @property
    def recipe(self) -> Recipe:
        """The recipe of the whole trajectory up to this segment's end."""
        before = self.start.noises if isinstance(self.start, State) else (self.start,)
        return before + self.noises

    def without_history(self) -> Segment:
        """The segment as an engine needs it: a handle's key, not the recipe that led to it."""
        start = self.start
        if not isinstance(start, State):
            return self
        bare = State(start.key, start.engine, start.step, ())
        return Segment(bare, self.noises, self.condition, self.rewards, self.ahead)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What came of a segment.

    Args:
        state: where it led.
        reward: the value of the problem's reward; None when it was not asked for or the image could not be scored.
        nfe: denoiser forwards spent on it, those of a look ahead among them.
        rewards: the value of each reward that was asked for; None where the image could not be scored.
        ranked: rewards whose ranks, among the evaluations that it is compared with, decide; empty: :attr:`reward` alone
        does.
    """

    state: State
    reward: float | None
    nfe: int
    rewards: Mapping[str, float | None] = field(default_factory=dict, hash=False)
    ranked: tuple[str, ...] = ()

    @classmethod
    def of(cls, state: State, segment: Segment, scores: Mapping[str, float | None], own: str, nfe: int) -> Evaluation:
        """The evaluation of a segment.

        Args:
            state: where it led.
            segment: what was asked for.
            scores: at least the values of its rewards; others do not come along.
            own: the problem's reward.
            nfe: denoiser forwards spent on it.
        """
        rewards = {name: scores[name] for name in segment.rewards}
        return cls(state, rewards.get(own), nfe, rewards)

    @property
    def value(self) -> float:
        """The reward for comparisons: an unscored evaluation is below all others."""
        return _number(self.reward)


def canonical_names(names: str | Iterable[str] | None) -> tuple[str, ...]:
    """A set of rewards' names as a tuple: sorted, each once."""
    if names is None:
        return ()
    return (names,) if isinstance(names, str) else tuple(sorted(set(names)))


def best(evaluations: Iterable[Evaluation]) -> Evaluation:
    """The highest reward; the first of equals."""
    found = list(evaluations)
    if found and found[0].ranked:
        return top(found, 1)[0]
    return max(found, key=lambda evaluation: evaluation.value)


def top(evaluations: Iterable[Evaluation], n: int) -> list[Evaluation]:
    """The n highest rewards, in order; the earlier of equals first.

    Where they are judged by ranks: the n lowest sums of their ranks among these evaluations.
    """
    found = list(evaluations)
    names = found[0].ranked if found else ()
    order = [-each.value for each in found] if not names else rank_sums(found, names)
    return [found[place] for place in sorted(range(len(found)), key=order.__getitem__)[:n]]


def rank_sums(evaluations: Sequence[Evaluation], names: Sequence[str]) -> list[float]:
    """For each evaluation, the sum of its ranks among all of them by some rewards; 0 is the best.

    Equal values share the middle of their ranks; an evaluation that could not be scored is below all others.
    """
    columns = [[_number(each.rewards.get(name)) for each in evaluations] for name in names]
    return [sum(_rank(column, column[place]) for column in columns) for place in range(len(evaluations))]


def _rank(column: Sequence[float], value: float) -> float:
    return sum(other > value for other in column) + (column.count(value) - 1) / 2


def _number(value: float | None) -> float:
    return -float("inf") if value is None else value
