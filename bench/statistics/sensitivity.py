"""How much a search's result depends on one of its settings, at one cost."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations
from typing import Any, NamedTuple

import pandas as pd

from tts.settings import canonical

COLUMNS = ["reward", "search", "setting", "value", "place", "nfe", "n", "mean", "low", "high"]
VALUES = 3
"""Least number of a setting's values that make a line."""
WITHIN = 1.25
"""Costs of one line differ by this factor at most."""


class Line(NamedTuple):
    """Points of one search that differ in few settings.

    Args:
        search: its name.
        names: the settings, the first of which orders the points.
        points: the values of these settings, in order; and for each the settings' JSON.
    """

    search: str
    names: tuple[str, ...]
    points: tuple[tuple[tuple[Any, ...], str], ...]


def sensitivity(curves: pd.DataFrame) -> pd.DataFrame:
    """Of each search, the points that differ in one setting at about one cost, of which there are at least three.

    A second setting may differ with it, as it must where the first one changes the cost: beams and candidates of each.
    Of several such lines of a search the longest is taken, then one of a single setting, then the one along which the
    rewards differ most.

    Args:
        curves: as :func:`bench.statistics.curves.curves` makes them.

    Returns:
        The columns :data:`COLUMNS`, the searches with the highest means first (by their rank among all, averaged over
        the rewards); ``place`` counts a line's values from 0.
    """
    curves = curves[curves["mean"].notna() & ~curves["derived"].astype(bool)]
    curves = curves.drop_duplicates(["reward", "search", "settings"])  # a point may be on two curves
    rows = [
        {
            **{name: row[name] for name in ("reward", "search", "nfe", "n", "mean", "low", "high")},
            "setting": " and ".join(line.names),
            "value": ", ".join(_text(value) for value in values),
            "place": place,
        }
        for search, points in curves.groupby("search", sort=False)
        if (line := _line(str(search), points)) is not None
        for place, (values, settings) in enumerate(line.points)
        for row in points[points["settings"] == settings].to_dict("records")
    ]
    found = pd.DataFrame(rows, columns=COLUMNS)
    best = found.groupby(["reward", "search"])["mean"].max().groupby("reward").rank(ascending=False)
    order = best.groupby("search").mean()
    found = found.assign(order=found["search"].map(order))
    return found.sort_values(["order", "search", "reward", "place"], ignore_index=True)[COLUMNS]


def _line(search: str, points: pd.DataFrame) -> Line | None:
    """The search's line, if it has one."""
    found = [line for line in _lines(search, points) if len(line.points) >= VALUES]
    means = points.groupby("settings")["mean"].mean()

    def merit(line: Line) -> tuple[int, int, float]:
        reached = means[[settings for _, settings in line.points]]
        return len(line.points), -len(line.names), float(reached.max() - reached.min())

    return max(found, key=merit, default=None)


def _lines(search: str, points: pd.DataFrame) -> Iterator[Line]:
    """Points that are equal but for one setting or two, and cost about the same."""
    costs = {str(text): float(cost) for text, cost in points.groupby("settings")["nfe"].mean().items()}
    parsed = {text: json.loads(text) for text in costs}
    names = sorted({name for settings in parsed.values() for name in settings})
    varied = [name for name in names if len({canonical(settings.get(name)) for settings in parsed.values()}) > 1]
    for free in [*((name,) for name in varied), *combinations(varied, 2)]:
        alike: dict[str, list[str]] = defaultdict(list)
        for text, settings in parsed.items():
            alike[canonical({name: value for name, value in settings.items() if name not in free})].append(text)
        for texts in alike.values():
            near = _near(texts, costs)
            values = [(tuple(parsed[text].get(name) for name in free), text) for text in near]
            if len({canonical(value[0]) for value, _ in values}) == len(values):
                yield Line(search, free, tuple(sorted(values, key=lambda point: _order(point[0][0]))))


def _near(texts: list[str], costs: dict[str, float]) -> list[str]:
    """The most of them that cost about the same."""
    ordered = sorted(texts, key=lambda text: costs[text])
    groups = [[each for each in ordered[k:] if costs[each] <= WITHIN * costs[ordered[k]]] for k in range(len(ordered))]
    return max(groups, key=len)


def _order(value: Any) -> tuple[bool, float, str]:
    """Numbers in their order, then all else; what is left out comes first."""
    if value is None:
        return False, float("-inf"), ""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return (False, value, "") if number else (True, 0.0, canonical(value))


def _text(value: Any) -> str:
    if value is None:
        return "left out"
    return value if isinstance(value, str) else json.dumps(value)
