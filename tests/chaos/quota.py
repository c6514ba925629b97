"""How many mishaps of each kind are to come, and what became of the rows."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Rows = list[dict[str, Any]]


class Quota:
    """Mishaps that are still to come, and those that came; each counts once, under one kind.

    Args:
        left: how many of each kind.
    """

    def __init__(self, left: Mapping[str, int]) -> None:
        self.left, self.came = Counter(left), Counter[str]()

    def spend(self, kind: str) -> bool:
        """Whether one more of a kind may happen; it counts as having happened."""
        if self.left[kind] <= 0:
            return False
        self.left[kind] -= 1
        self.came[kind] += 1
        return True

    def draw(self, coins: random.Random, among: Sequence[str]) -> str | None:
        """A kind that is to come, the likelier the more of them are left; None: no more of these."""
        weights = [self.left[kind] for kind in among]
        return coins.choices(among, weights)[0] if any(weights) else None

    def open(self, among: Sequence[str]) -> bool:
        """Whether any of these are still to come."""
        return any(self.left[kind] > 0 for kind in among)


@dataclass
class Outcome:
    """What became of the rows of some runs.

    Args:
        runs, starts: runs, and how often a driver was started for them.
        rows: of the undisturbed tables, run by run.
        lost, doubled, changed: rows that are not there, are there twice, or are others.
        seconds: that the runs took.
    """

    runs: int = 0
    starts: int = 0
    rows: int = 0
    lost: int = 0
    doubled: int = 0
    changed: int = 0
    seconds: float = 0.0

    def compare(self, found: Rows, calm: Rows) -> None:
        """Add a run's table.

        Args:
            found: its rows; rows with the same ``trial`` and ``evaluation`` are the same row.
            calm: those of the undisturbed run.
        """
        right, times = {_key(row): row for row in calm}, Counter(map(_key, found))
        self.runs, self.rows = self.runs + 1, self.rows + len(calm)
        self.lost += len(right.keys() - times.keys())
        self.doubled += sum(count - 1 for count in times.values())
        self.changed += sum(row != right.get(_key(row)) for row in found)

    @property
    def sound(self) -> bool:
        """Whether every table is that of the undisturbed run."""
        return not (self.lost or self.doubled or self.changed)


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """What tells rows of trials and of traces apart."""
    return row["trial"], row.get("round"), row.get("candidate")
