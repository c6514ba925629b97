"""The transitions of segments, grouped into kinds that can be computed together."""

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
"""Columns of a new table, which doubles when it is full."""

AHEAD = 3
"""Number of next transitions whose noises are made ahead. Two may begin in one pass, at the start and on a way back, as
not every sampler needs the denoiser for an initial noise or a way back."""


class Kind:
    """Transitions with the same arithmetic, and the numbers of each.

    Args:
        first: one of the transitions.
        together: whether many rows are computed at once; if not, each row alone, without a batch dimension.
        opens: whether they start from the initial noise and not from a position.
    """

    def __init__(self, first: Transition, together: bool, opens: bool) -> None:
        self.run, self.together, self.opens = first.run, together, opens
        self._form: Any = getattr(type(first.numbers), "_make", tuple)
        self._count = 0
        self._table = np.empty((len(first.numbers), FIRST))

    def column(self, numbers: tuple[float, ...]) -> int:
        """Add a column of numbers to the table; returns its index."""
        if self._count == self._table.shape[1]:
            self._table = np.concatenate([self._table, np.empty_like(self._table)], axis=1)
        self._table[:, self._count] = numbers
        self._count += 1
        return self._count - 1

    def numbers(self, columns: Sequence[int]) -> NDArray[np.float64]:
        """The k numbers of R rows, ``[k, R]``."""
        return self._table.take(columns, axis=1)

    def on_device(self, numbers: NDArray[np.float64], dimensions: int, device: str) -> Any:
        """These numbers as the sampler's NamedTuple of float32 tensors ``[R, 1, ..., 1]`` on a device."""
        given = numbers.astype(np.float32).reshape(*numbers.shape, *[1] * dimensions)
        return self._form(upload(torch.from_numpy(given), device).unbind())


class Leg(NamedTuple):
    """A transition of a row: its kind, the column of its numbers, and its noise."""

    kind: Kind
    column: int
    noise: Noise | None


class Route(NamedTuple):
    """All transitions of a segment, one after another; the state after ``kept`` transitions is kept.

    Later transitions are a look-ahead from a copy of that state.
    """

    legs: list[Leg]
    kept: int


class Routes:
    """The routes of segments on one sampler.

    A sampler that does not separate numbers from arithmetic (:mod:`tts.samplers.transitions`) runs a coroutine for each
    row.
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
        """Transitions to the end by ``ahead`` leaps; if at most so many steps are left, by these steps."""
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
    """The noise of each transition of a segment, without those of a look-ahead."""
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
    """The arithmetic of a transition for a sampler that supports single trajectories only."""

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
