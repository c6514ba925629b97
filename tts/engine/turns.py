"""Whose turn it is, where more rows wait than a pass holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import heapify, heappop, heappush, nlargest
from typing import Generic, Protocol, TypeVar


class Waiting(Protocol):
    """A row that waits."""

    @property
    def turn(self) -> tuple[int, int]:
        """The lower, the sooner; of no two rows the same."""
        ...

    @property
    def length(self) -> int:
        """Steps that are still to be taken for it, one after another."""
        ...


W = TypeVar("W", bound=Waiting)


class Turns(Generic[W]):
    """Rows that wait, in the order in which they are taken.

    That of their turns alone would leave the last rows to run by themselves, in passes of mostly padding. So those
    that cannot wait go before all others: whose length is that of all work together, divided by the rows of a pass. No
    order needs fewer passes (McNaughton 1959: as many as those two, whichever are more), and a few more rows than a
    pass holds go on in turn.

    Args:
        batch: rows of a pass.
    """

    def __init__(self, batch: int) -> None:
        self._batch = batch
        self._order: list[tuple[tuple[int, int], W]] = []

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[W]:
        return (row for _, row in self._order)

    def add(self, rows: Iterable[W]) -> None:
        """Let rows wait."""
        for row in rows:
            heappush(self._order, (row.turn, row))

    def take(self, room: int, work: float) -> list[W]:
        """The next rows, no more than there is room for.

        Args:
            work: steps that are still to be taken in all.
        """
        taken = self._urgent(room, work) if 0 < room < len(self) else []
        while self._order and len(taken) < room:
            taken.append(heappop(self._order)[1])
        return taken

    def _urgent(self, room: int, work: float) -> list[W]:
        """Rows that cannot wait, the longest first; a step is left for rounding."""
        passes = work / self._batch - 1
        found = [row for row in self if row.length >= passes]
        if not found:
            return []
        taken = nlargest(room, found, key=lambda row: (row.length, [-place for place in row.turn]))
        chosen = {row.turn for row in taken}
        self._order = [each for each in self._order if each[0] not in chosen]
        heapify(self._order)
        return taken
