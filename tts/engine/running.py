"""Segments at work on an engine: a row each, and groups of rows whose arithmetic is done at once."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tts.engine.requests import EvalRequest, EvalResult
from tts.engine.routes import AHEAD, Kind, Leg, Route
from tts.engine.state_pool import StatePool
from tts.errors import EngineError
from tts.noise import Noise
from tts.samplers.base import Call, Position, Step


class Row:
    """A job at work.

    Args:
        job: what is asked.
        route: its transitions.
        slot: of the position that it starts from, which it holds; None where that is an initial noise.
        number: how many came before it.
    """

    __slots__ = ("at", "calls", "condition", "job", "kept", "legs", "number", "seconds", "slot", "state", "told")

    def __init__(self, job: EvalRequest, route: Route, slot: int | None, number: int = 0) -> None:
        self.number = number
        self.job, self.condition = job, job.segment.condition
        self.legs, self.kept = route
        self.slot = slot
        self.state: int | None = None  # the slot of the state that is kept, which it holds as well
        self.at, self.calls, self.seconds = 0, 0, 0.0
        self.told = AHEAD  # transitions whose noises were told of; of a new job the first ones are

    def coming(self) -> Iterator[Noise]:
        """Noises of the transitions after the next one that were not told of yet."""
        legs = self.legs[self.told : self.at + AHEAD]
        self.told += len(legs)
        return (leg.noise for leg in legs if leg.noise is not None)

    @property
    def leg(self) -> Leg:
        """The next transition."""
        return self.legs[self.at]

    @property
    def ended(self) -> bool:
        """Whether no transition is left."""
        return self.at == len(self.legs)

    @property
    def turn(self) -> tuple[int, int]:
        """Who came first goes first."""
        return self.number, 0

    @property
    def length(self) -> int:
        """Transitions that are left, or steps of whoever asked for them, whichever are more."""
        return max(len(self.legs), self.job.left) - self.at

    def outcome(self, passes: int) -> EvalResult:
        """What it cost so far."""
        return EvalResult(self.job.ticket, nfe=passes * self.calls, seconds=self.seconds)


class Group:
    """Rows that began transitions of one kind together; each takes them to the next denoiser call, or to the end.

    Args:
        kind: of the transitions.
        rows: those with a noise first.
        at: their positions.
        noise: of the first of them; None: none has one.
        device: where they are.
    """

    def __init__(self, kind: Kind, rows: Sequence[Row], at: Position, noise: Tensor | None, device: str) -> None:
        self.rows, self.conditions = rows, [row.condition for row in rows]
        self.calls, self.seconds = 0, 0.0
        self._together = kind.together
        self._numbers, self._given = kind.numbers([row.leg.column for row in rows]), ()
        if kind.together and len(self._numbers):
            self._given = kind.on_device(self._numbers, at.x.ndim - 1, device)
        self._steps: Step = kind.run(*self._form(at, noise))
        self.send(None)

    def _form(self, at: Position, noise: Tensor | None) -> tuple[Position, Any, Tensor | None]:
        if self._together:
            return at, self._given, noise
        return Position(at.x[0], at.predicted[0]), (), None if noise is None else noise[0]

    def send(self, answers: Tensor | None) -> None:
        """Go on to the next call, or to the end."""
        try:
            answer = answers if self._together or answers is None else answers[0]
            call = self._steps.send(answer)  # type: ignore[arg-type]  # None starts a generator
        except StopIteration as stop:
            self.end: Position | None = self._batched(*stop.value)
        else:
            self.end, self.calls = None, self.calls + 1
            self.x, self.levels = self._batched(call.x, call.x).x, self._levels(call)

    def _batched(self, x: Tensor, predicted: Tensor) -> Position:
        return Position(x, predicted) if self._together else Position(x[None], predicted[None])

    def _levels(self, call: Call) -> NDArray[np.float64]:
        """What the denoiser is told, ``[R]`` float64: the numbers of the table, not of the arithmetic."""
        if isinstance(call.level, int | float):
            return np.full(len(self.rows), call.level, np.float64)
        for numbers, given in zip(self._numbers, self._given, strict=True):
            if given is call.level:
                return numbers
        raise EngineError("the sampler: a call's level is none of its transition's numbers; make it one of them")


def grouped(rows: Iterable[Row], largest: int) -> Iterator[tuple[Kind, list[Row], list[Noise]]]:
    """Rows by the kind of their next transitions, in groups of no more than so many; those with a noise first."""
    kinds: dict[Kind, tuple[list[Row], list[Row]]] = {}
    for row in rows:
        kind, _, noise = row.legs[row.at]
        found = kinds.get(kind)
        if found is None:
            found = kinds[kind] = [], []
        found[noise is None].append(row)
    for kind, (noisy, plain) in kinds.items():
        size = largest if kind.together else 1
        parts = [noisy + plain] if len(noisy) + len(plain) <= size else [noisy, plain]
        for part in parts:
            for start in range(0, len(part), size):
                some = part[start : start + size]
                yield kind, some, [row.leg.noise for row in some if row.leg.noise is not None]


def land(group: Group, pool: StatePool) -> Sequence[Row]:
    """Write where a group's transitions lead, and charge its rows; returns them."""
    assert group.end is not None  # only ended groups land
    targets = [pool.target(row.slot) for row in group.rows]
    pool.write(targets, group.end)
    for row, slot in zip(group.rows, targets, strict=True):
        row.slot = slot
        row.at += 1
        row.calls += group.calls
        row.seconds += group.seconds
        if row.at == row.kept:
            row.state = pool.hold(slot)
    return group.rows


def begun(
    make: Callable[[Sequence[Noise]], Tensor], pool: StatePool, rows: Iterable[Row], largest: int
) -> Iterator[Group]:
    """Begin the next transitions of rows.

    Args:
        make: the tensors of noises, ``[k, *shape]``.
    """
    for kind, some, noises in grouped(rows, largest):
        noise = make(noises) if noises else None
        if kind.opens:
            assert noise is not None  # every trajectory begins with one
            yield Group(kind, some, Position(noise, noise), None, pool.device)
        else:
            at: Any = pool.taken([row.slot for row in some if row.slot is not None])
            yield Group(kind, some, at, noise, pool.device)


CACHED_BYTES = 768 << 10
"""States that a CPU computes at once: more of them would not stay in its cache from one operation to the next."""


def rows_at_once(shape: tuple[int, ...], device: str) -> int:
    """Rows of a group: on a GPU any number, on a CPU as many as its cache holds."""
    return max(1, CACHED_BYTES // (4 * math.prod(shape))) if device.startswith("cpu") else sys.maxsize
