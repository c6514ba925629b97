"""What a segment asks of its sampler: transitions, sorted by what can be computed together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice, pairwise
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tts.engine.device_queue import upload
from tts.noise import Noise
from tts.recipe import Back, after
from tts.samplers.base import Leaper, Position, Sampler, Step
from tts.samplers.transitions import Transition, apart
from tts.search.segment import Segment, State

FIRST = 32
"""Columns of a new table; it doubles when it is full."""

AHEAD = 3
"""Transitions from the next one on whose noises are made ahead: two of them may begin in one pass, at the start and on
the way back, as neither an initial noise nor a way back needs the denoiser everywhere."""


class Kind:
    """Transitions with the same arithmetic, and the numbers of each.

    Args:
        first: one of them.
        together: whether many rows are computed at once; else each one alone, without a batch dimension.
        opens: whether they begin with the initial noise and not with a position.
    """

    def __init__(self, first: Transition, together: bool, opens: bool) -> None:
        self.run, self.together, self.opens = first.run, together, opens
        self._form: Any = getattr(type(first.numbers), "_make", tuple)
        self._count = 0
        self._table = np.empty((len(first.numbers), FIRST))

    def column(self, numbers: tuple[float, ...]) -> int:
        """A new column of the table."""
        if self._count == self._table.shape[1]:
            self._table = np.concatenate([self._table, np.empty_like(self._table)], axis=1)
        self._table[:, self._count] = numbers
        self._count += 1
        return self._count - 1

    def numbers(self, columns: Sequence[int]) -> NDArray[np.float64]:
        """Of many rows, ``[k, R]``."""
        return self._table.take(columns, axis=1)

    def on_device(self, numbers: NDArray[np.float64], dimensions: int, device: str) -> Any:
        """The same in the sampler's own form, each ``[R, 1, ..., 1]`` float32."""
        given = numbers.astype(np.float32).reshape(*numbers.shape, *[1] * dimensions)
        return self._form(upload(torch.from_numpy(given), device).unbind())


class Leg(NamedTuple):
    """A transition of a row: its kind, the column of its numbers, and its noise."""

    kind: Kind
    column: int
    noise: Noise | None


class Route(NamedTuple):
    """All transitions of a segment, one after another; the state that is kept is that after ``kept`` of them.

    The others look ahead, from a copy of it.
    """

    legs: list[Leg]
    kept: int


class Routes:
    """The routes of segments on one sampler.

    A sampler that does not say numbers and arithmetic apart (:mod:`tts.samplers.transitions`) is asked for the
    coroutine of each row by itself.
    """

    def __init__(self, sampler: Sampler) -> None:
        self._sampler, self._apart = sampler, apart(sampler)
        self._kinds: dict[Any, Kind] = {}
        self._known: dict[tuple[Any, ...], tuple[Kind, int]] = {}

    def of(self, segment: Segment) -> Route:
        """A segment's route."""
        legs, index = list[Leg](), segment.first
        if not isinstance(segment.start, State):
            legs.append(Leg(*self._found("opening"), segment.start))
        for action in segment.noises:
            if isinstance(action, Back):
                if action.to != index:
                    legs.append(Leg(*self._found("returning", index, action.to), action.noise))
            else:
                legs.append(Leg(*self._found("stepping", index, action is not None), action))
            index = after(index, action)
        return Route([*legs, *self._ahead(index, segment.ahead)], len(legs))

    def _ahead(self, index: int, ahead: int) -> Iterator[Leg]:
        """To the end by so many leaps; where no more steps are left than that, by them."""
        plan = self._sampler.plan
        if ahead >= plan.steps - index:
            for step in range(index, plan.steps) if ahead else ():
                yield Leg(*self._found("stepping", step, False), None)
            return
        for here, there in pairwise(plan.grid_ahead(index, ahead)):
            yield Leg(*self._found("leaping", here, there), None)

    def _found(self, name: str, *where: Any) -> tuple[Kind, int]:
        found = self._known.get((name, *where))
        if found is None:
            transition = self._transition(name, *where)
            kind = self._kinds.get(transition.run)
            if kind is None:
                kind = self._kinds[transition.run] = Kind(transition, self._apart is not None, name == "opening")
            found = self._known[name, *where] = kind, kind.column(transition.numbers)
        return found

    def _transition(self, name: str, *where: Any) -> Transition:
        if self._apart is not None:
            transition: Transition = getattr(self._apart, name)(*where)
            return transition
        return Transition(_alone(self._sampler, name, *where))


def first_noises(segment: Segment) -> Iterator[Noise]:
    """Noises of the first transitions of a segment."""
    return (noise for noise in islice(_noises(segment), AHEAD) if noise is not None)


def _noises(segment: Segment) -> Iterator[Noise | None]:
    """Of each transition of a segment but those of a look ahead, its noise."""
    index = segment.first
    if not isinstance(segment.start, State):
        yield segment.start
    for action in segment.noises:
        if not isinstance(action, Back):
            yield action
        elif action.to != index:
            yield action.noise
        index = after(index, action)


def _alone(sampler: Sampler, name: str, *where: Any) -> Callable[[Position, Any, Tensor | None], Step]:
    """A transition of a sampler that knows single trajectories only."""

    def run(at: Position, by: Any, noise: Tensor | None) -> Step:
        if name == "opening":
            return sampler.initial(at.x)
        if name == "leaping":
            return cast(Leaper, sampler).leap(at, *where)
        if name == "returning":
            assert noise is not None  # a way back has one
            return sampler.back(at, where[0], where[1], noise)
        return sampler.step(at, where[0], noise)

    return run
