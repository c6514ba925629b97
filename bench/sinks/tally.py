"""The numbers that sinks get of a run's rows: sums, added up row by row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.sinks.base import CurvePoint
from bench.store.row import TrialRow
from bench.study.labels import Curve

COSTS = ("nfe", "shared_nfe", "decodes", "reward_calls", "device_seconds")
COLUMNS = ["trial", "reward", "search", "settings", "budget", "budget_value", "value", "error", *COSTS]
"""Columns of the stored rows that are counted when a run goes on."""

Point = tuple[str, str, str]
"""Reward, curve, and the point's place on it, for people."""


@dataclass
class Sums:
    """Sums over the rows of a point that could be scored."""

    n: int = 0
    value: float = 0.0
    nfe: int = 0


@dataclass
class Tally:
    """Means and costs of the rows so far.

    Args:
        labels: of curves, as reports name them; see :func:`bench.study.labels.curve_labels`.
    """

    labels: Mapping[Curve, str]
    points: dict[Point, Sums] = field(default_factory=dict)
    costs: Counter[str] = field(default_factory=Counter)

    def add(self, row: Mapping[str, Any]) -> Point | None:
        """Count a row; return its point, if it has a result."""
        for name in COSTS:
            self.costs[name] += row[name] or 0
        if row["error"] is not None:
            return None
        curve = self.labels.get((row["search"], row["settings"], row["budget"]), row["search"])
        place = "" if row["budget"] is None else f" {row['budget']}={row['budget_value']:g}"
        point = (row["reward"], curve, f"{curve}{place}")
        if row["value"] is not None:
            sums = self.points.setdefault(point, Sums())
            sums.n, sums.value, sums.nfe = sums.n + 1, sums.value + row["value"], sums.nfe + row["nfe"]
        return point

    def numbers(self) -> dict[str, float]:
        """Means by point, and costs."""
        means = {f"mean/{reward}/{name}": sums.value / sums.n for (reward, _, name), sums in self.points.items()}
        return {**means, **{f"cost/{name}": float(value) for name, value in self.costs.items()}}

    def curves(self) -> list[CurvePoint]:
        """All points, each curve by what it costs."""
        made = [
            CurvePoint(reward, curve, sums.nfe / sums.n, sums.value / sums.n, sums.n)
            for (reward, curve, _), sums in self.points.items()
        ]
        return sorted(made)


def columns_of(row: TrialRow) -> dict[str, Any]:
    """The counted columns of a row that has just ended."""
    return {name: getattr(row, name) for name in COLUMNS}
