"""States on the device, in slots of one tensor, so that those of many rows are read and written at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property

import torch
from torch import Tensor

from tts.engine.device_queue import upload
from tts.engine.last_states import LastStates
from tts.errors import EngineError
from tts.samplers.base import Position

FIRST = 64
"""Slots of a new pool; it doubles when it is full."""


class StatePool:
    """Positions in numbered slots.

    A slot has holders: whoever reads it and whoever keeps it. It is free again when the last one lets it go; a row
    writes where it reads only if nobody else holds that. On a CPU what is written stays where it was computed until the
    next rows have begun: most of it they take from there.

    Args:
        shape: of a state.
        device: where they are.
    """

    def __init__(self, shape: tuple[int, ...], device: str) -> None:
        self.shape, self.device = shape, device
        self._host = device == "cpu"
        self.x, self.predicted = (torch.empty(0, *shape, device=device) for _ in range(2))
        self._last = LastStates()
        self._holders: list[int] = []
        self._free: list[int] = []

    @property
    def used(self) -> int:
        """Slots that are held."""
        return len(self._holders) - len(self._free)

    def hold(self, slot: int) -> int:
        """Hold a slot once more."""
        self._holders[slot] += 1
        return slot

    def drop(self, slot: int) -> None:
        """Let a slot go."""
        self._holders[slot] -= 1
        if not self._holders[slot]:
            self._last.forget((slot,))
            self._free.append(slot)

    def target(self, slot: int | None) -> int:
        """The slot to write to for whoever reads this one, and holds it no more if that is another one."""
        if slot is not None:
            if self._holders[slot] == 1:
                return slot
            self._holders[slot] -= 1
        if not self._free:
            self._grow()
        found = self._free.pop()
        self._holders[found] = 1
        return found

    def read(self, slots: Sequence[int]) -> StoredPosition:
        """Positions of many rows, ``[R, *shape]``, copied when they are asked for."""
        return StoredPosition(self, slots)

    def taken(self, slots: Sequence[int]) -> Position | StoredPosition:
        """The same for rows that go on from there, not to be written to: no copy where they were computed together.

        Of a slot that nobody else holds the state is then gone until its row writes again.
        """
        found = self._last.whole(slots)
        if found is None:
            return self.read(slots)
        if any(self._holders[slot] > 1 for slot in slots):
            self.settle(slots)
        self._last.forget(slots)
        return found

    def settle(self, slots: Iterable[int] | None = None) -> None:
        """Write what was computed last, None: all of it: memory is not held for longer than a pass."""
        for left, places, at in self._last.unwritten(slots):
            for pool, values in ((self.x, at.x), (self.predicted, at.predicted)):
                rows = values.numpy()
                pool.numpy()[left] = rows if places is None else rows[places]

    def clean(self, slots: Sequence[int]) -> Sequence[Tensor]:
        """Predictions, one by one, of a copy of their own."""
        return self.copied(self.predicted, slots).unbind()

    def write(self, slots: Sequence[int], at: Position) -> None:
        """Keep positions, ``[R, *shape]``.

        Raises:
            EngineError: they have another form.
        """
        for pool, values in ((self.x, at.x), (self.predicted, at.predicted)):
            if values.dtype != pool.dtype or values.shape != (len(slots), *self.shape):
                raise EngineError(
                    f"the sampler: a state is {values.dtype} {list(values.shape[1:])} where the model's are "
                    f"{pool.dtype} {list(self.shape)}"
                )
        if not self._host:
            for pool, values in ((self.x, at.x), (self.predicted, at.predicted)):
                pool.index_copy_(0, self._places(slots), values)
        else:
            self._last.add(slots, at)
            if not at.x.stride() == at.predicted.stride() == self.x.stride():  # another layout may sum otherwise
                self.settle(slots)

    def copied(self, pool: Tensor, slots: Sequence[int]) -> Tensor:
        """Some rows of a tensor of all; on a CPU by numpy, which is several times as fast."""
        if self._host:
            self.settle(slots)
            return torch.from_numpy(pool.numpy().take(slots, axis=0))
        return pool.index_select(0, self._places(slots))

    def _places(self, slots: Sequence[int]) -> Tensor:
        return upload(torch.tensor(slots), self.device)

    def _grow(self) -> None:
        before, after = len(self._holders), max(FIRST, 2 * len(self._holders))
        self._holders += [0] * (after - before)
        self._free += reversed(range(before, after))
        self.x, self.predicted = (self._larger(old, after) for old in (self.x, self.predicted))

    def _larger(self, old: Tensor, size: int) -> Tensor:
        new = torch.empty(size, *self.shape, device=self.device)
        new[: len(old)] = old
        return new


class StoredPosition:
    """A :class:`tts.samplers.base.Position` of many rows; a sampler that never asks for the predictions pays for none.

    Args:
        pool: where they are.
        slots: the rows'.
    """

    def __init__(self, pool: StatePool, slots: Sequence[int]) -> None:
        self._pool, self._slots = pool, slots

    @cached_property
    def x(self) -> Tensor:
        """The states, ``[R, *shape]``."""
        return self._pool.copied(self._pool.x, self._slots)

    @cached_property
    def predicted(self) -> Tensor:
        """The clean states that are predicted there."""
        return self._pool.copied(self._pool.predicted, self._slots)


class States(Mapping[int, Position]):
    """The states that handles refer to, by their keys; what is read is a copy."""

    def __init__(self, pool: StatePool) -> None:
        self._pool = pool
        self._slots: dict[int, int] = {}

    def keep(self, key: int, slot: int) -> None:
        """Take over the hold on a slot."""
        self._slots[key] = slot

    def slot(self, key: int) -> int:
        """Where a state is."""
        return self._slots[key]

    def release(self, key: int) -> None:
        """Forget a state, if it is there."""
        slot = self._slots.pop(key, None)
        if slot is not None:
            self._pool.drop(slot)

    def __getitem__(self, key: int) -> Position:
        at = self._pool.read([self._slots[key]])
        return Position(at.x[0], at.predicted[0])

    def __iter__(self) -> Iterator[int]:
        return iter(self._slots)

    def __len__(self) -> int:
        return len(self._slots)
