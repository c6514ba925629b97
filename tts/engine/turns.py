"""Choose the rows of a pass if more rows wait than it holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import heapify, heappop, heappush, nlargest
from typing import Generic, Protocol, TypeVar


class Waiting(Protocol):
    """A row that waits."""

    @property
    def turn(self) -> tuple[int, int]:
        """Rows with lower turns go first; no two rows have the same."""
        ...

    @property
    def length(self) -> int:
        """Number of steps that it still needs, one after another."""
        ...


W = TypeVar("W", bound=Waiting)


class Turns(Generic[W]):
    """Waiting rows, in the order in which passes take them.

    The order of turns alone would leave the last rows to run by themselves, in passes of mostly padding. So rows that
    cannot wait go before all others: those whose length reaches all remaining work divided by the rows of a pass. No
    order needs fewer passes (McNaughton 1959: their number is the larger of the two), and if only a few rows more than
    a pass wait, they take turns.

    Args:
        batch: number of rows of a pass.
    """

    def __init__(self, batch: int) -> None:
        self._batch = batch
        self._order: list[tuple[tuple[int, int], W]] = []

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[W]:
        return (row for _, row in self._order)

    def add(self, rows: Iterable[W]) -> None:
        """Add waiting rows."""
        for row in rows:
            heappush(self._order, (row.turn, row))

    def take(self, room: int, work: float) -> list[W]:
        """The next rows.

        Args:
            room: most rows to take.
            work: number of steps that all rows together still need.
        """
        taken = self._urgent(room, work) if 0 < room < len(self) else []
        while self._order and len(taken) < room:
            taken.append(heappop(self._order)[1])
        return taken

    def take_all(self) -> list[W]:
        """All rows, by the second number of their turns."""
        taken, self._order = self._order, []
        return sorted((row for _, row in taken), key=lambda row: row.turn[1])

    def _urgent(self, room: int, work: float) -> list[W]:
        """Rows that cannot wait, the longest first, with a margin of one step for rounding."""
        passes = work / self._batch - 1
        found = [row for row in self if row.length >= passes]
        if not found:
            return []
        taken = nlargest(room, found, key=lambda row: (row.length, [-place for place in row.turn]))
        chosen = {row.turn for row in taken}
        self._order = [each for each in self._order if each[0] not in chosen]
        heapify(self._order)
        return taken
