"""Work that several trials ask for is done once.

A trajectory is its noise: segments that start from the same state, or from the same initial noise of one condition,
with the same noises lead to the same state, whichever searches, budgets and rewards ask for them. So naive sampling
is inside best-of-N, a small N inside a large one, and the first steps of all searches are the same.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeAlias
from weakref import WeakValueDictionary

from tts.engine.requests import EvalRequest, EvalResult
from tts.recipe import Recipe
from tts.search.segment import Segment, State

if TYPE_CHECKING:
    from bench.workers.active_trial import ActiveTrial

Key: TypeAlias = Hashable
"""Equal for segments that lead to the same state."""


class Asker(NamedTuple):
    """A trial that waits for a segment: which one, and the segment's place in the list that its search yielded."""

    open: ActiveTrial
    place: int
    segment: Segment


class Known(State):
    """A state that has been computed, with what is known of it; when nothing refers to it, its engine may forget it.

    Args:
        released: its engine's list of states to forget.
        outcome: what came of the job that led to it, and of later scorings.
        ahead: how far the job and those scorings looked ahead.
    """

    __slots__ = ("_released", "ahead", "outcome")

    outcome: EvalResult
    ahead: int

    def __init__(
        self,
        key: int,
        engine: int,
        step: int,
        noises: Recipe,
        released: list[int],
        outcome: EvalResult,
        ahead: int = 0,
    ) -> None:
        super().__init__(key, engine, step, noises)
        object.__setattr__(self, "ahead", ahead)
        object.__setattr__(self, "_released", released)
        object.__setattr__(self, "outcome", outcome)

    def answers(self, segment: Segment) -> bool:
        """Whether it was scored by all of the segment's rewards."""
        return not self.lacks(segment)

    def lacks(self, segment: Segment) -> tuple[str, ...]:
        """The segment's rewards that it was not scored by."""
        return tuple(n for n in segment.rewards if n not in self.outcome.scores and n not in self.outcome.errors)

    def __copy__(self) -> Known:
        """Itself: a copy would let the state go twice."""
        return self

    def __deepcopy__(self, memo: object) -> Known:
        """Itself, as for a shallow copy."""
        return self

    def __del__(self) -> None:
        self._released.append(self.key)  # type: ignore[attr-defined]


@dataclass(eq=False)
class Work:
    """A job that is under way.

    Args:
        key: under which others may join; None: it is one trial's alone.
        engine: where it runs.
        segment: the first asker's.
        of: the state that is only scored once more; None: the segment leads to a new one.
        askers: who gets its outcome.
        later: who wants another reward of its state, and asked when it was sent already.
        sent: whether the engine has it.
    """

    key: Key | None
    engine: int
    segment: Segment
    of: Known | None = None
    askers: list[Asker] = field(default_factory=list)
    later: list[Asker] = field(default_factory=list)
    sent: bool = False

    @property
    def rewards(self) -> tuple[str, ...]:
        """The rewards that anyone asks for and nobody has yet, each once."""
        return tuple(dict.fromkeys(name for asker in self.askers for name in self._wants(asker)))

    @property
    def waiting(self) -> list[Asker]:
        """Those who still want its outcome."""
        return [asker for asker in (*self.askers, *self.later) if not asker.open.over]

    def join(self, asker: Asker) -> None:
        """One more who asks for it; if it is at an engine already, without a reward of theirs, they ask again later."""
        fits = not self.sent or set(self._wants(asker)) <= set(self.rewards)
        (self.askers if fits else self.later).append(asker)

    def _wants(self, asker: Asker) -> tuple[str, ...]:
        return asker.segment.rewards if self.of is None else self.of.lacks(asker.segment)

    def job(self, ticket: int) -> EvalRequest:
        """What the engine gets."""
        self.sent = True
        return EvalRequest(ticket, self.segment, self.rewards)


class Common:
    """The work under way and the states at hand that trials may share.

    Args:
        share: whether they do.
    """

    def __init__(self, share: bool) -> None:
        self._share = share
        self._works: dict[Key, Work] = {}
        self._states: WeakValueDictionary[Key, Known] = WeakValueDictionary()
        self._held: WeakValueDictionary[int, Known] = WeakValueDictionary()

    def key(self, asker: Asker) -> Key | None:
        """What the segment shares with others; None: nothing. One that looks ahead has a state of its own."""
        segment, start = asker.segment, asker.segment.start
        if not self._share or asker.open.pinned is not None:  # a trial that may be why engines died stays alone
            return None
        at = (start.engine, start.key) if isinstance(start, State) else (segment.condition, start)
        return at, segment.noises, segment.whole, segment.ahead

    def key_of_more(self, asker: Asker) -> Key | None:
        """What scoring a state by more rewards shares with others; None: nothing."""
        key = self.key(asker)
        return None if key is None else ("more", key)

    def holds(self, state: State) -> bool:
        """Whether a state is one that a search was given; a copy of one does not keep it."""
        return self._held.get(state.key) is state

    def under_way(self, key: Key | None) -> Work | None:
        """Work that one may join."""
        return self._works.get(key)

    def state(self, asker: Asker, key: Key | None) -> Known | None:
        """The state to which a segment leads, if it is at hand."""
        segment, start = asker.segment, asker.segment.start
        stays = key is not None and not segment.noises and not segment.whole
        if stays and isinstance(start, Known) and not segment.ahead and not start.ahead:
            return start
        return self._states.get(key)

    def begin(self, work: Work) -> None:
        """Let others join."""
        if work.key is not None:
            self._works[work.key] = work

    def end(self, work: Work, state: Known | None) -> None:
        """Nobody can join any more; its new state, if it has one, is at hand while anyone refers to it."""
        if state is not None:
            self._held[state.key] = state
        if work.key is not None:
            del self._works[work.key]
            if state is not None:
                self._states[work.key] = state

    def lose(self, engine: int) -> None:
        """Forget what an engine had."""
        self._works = {key: work for key, work in self._works.items() if work.engine != engine}
        for key, state in list(self._states.items()):
            if state.engine == engine:
                del self._states[key]
