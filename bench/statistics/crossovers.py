"""Where one curve overtakes another as compute grows, with an interval over problems."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bench.statistics.intervals import CONFIDENCE, Over, Vector, draws
from bench.statistics.panel import Panel

RESAMPLES = 1000
OCTAVE = 16
"""Costs between a cost and its double at which curves are read, besides those of their points."""

COLUMNS = ["reward", "axis", "behind", "ahead", "at", "low", "high", "share", "starts", "n"]


class Line(NamedTuple):
    """Values at each of some costs, [problems, costs]; NaN: unscored, not run, or before its first point."""

    label: str
    values: Vector


def frontier_crossovers(panel: Panel, axis: str, over: Over = "problems") -> pd.DataFrame:
    """The changes of the curve with the highest mean, from the lowest cost to the highest.

    As in :func:`bench.statistics.matched.matched` a curve is, for each problem, linear in the logarithm of the cost
    between two of its points, not there before the first and level after the last. The interval is that of the costs
    at which the two curves cross in resamples of the problems (percentiles); where these two do not cross within what
    was measured in more resamples than the level leaves out, that end is infinite or 0.

    Args:
        panel: of one reward.
        axis: the cost.
        over: what is drawn: problems, or whole conditions.

    Returns:
        The columns :data:`COLUMNS`: at ``at`` the curve ``ahead`` overtakes ``behind``, in ``[low, high]`` with 95 %;
        ``share`` of the resamples have a crossing; ``starts``: it is ahead as soon as it is there; ``n`` problems are
        scored at both.
    """
    costs = _costs(panel, axis)
    if not len(costs):
        return pd.DataFrame(columns=COLUMNS)
    lines = [Line(curve, _values(panel, points, axis, costs)) for curve, points in panel.curves(axis).items()]
    rows = [{"reward": panel.reward, "axis": axis, **_crossover(panel, costs, *pair, over)} for pair in _changes(lines)]
    return pd.DataFrame(rows, columns=COLUMNS)


def crossing(costs: Vector, difference: Vector, near: float | None = None) -> float:
    """The cost at which a difference goes from below 0 to 0 or above, linear in the logarithm between costs.

    Args:
        costs: growing, [C].
        difference: at each, [C]; NaN where there is none, at the beginning only.
        near: of several, the one nearest to this cost; None: the last.

    Returns:
        0 where it is never below 0, infinity where it stays below.
    """
    there = ~np.isnan(difference)
    costs, difference = costs[there], difference[there]
    up = np.flatnonzero((difference[:-1] < 0) & (difference[1:] >= 0))
    if not len(up):
        return math.inf if len(difference) and difference[-1] < 0 else 0.0
    share = -difference[up] / (difference[up + 1] - difference[up])
    found = np.exp(np.log(costs[up]) + share * np.log(costs[up + 1] / costs[up]))
    return float(found[-1] if near is None else found[np.abs(np.log(found / near)).argmin()])


def _costs(panel: Panel, axis: str) -> Vector:
    """The costs of all points, and others between the first and the last."""
    known = np.unique([panel.cost(point, axis) for points in panel.curves(axis).values() for point in points])
    if len(known) < 2:
        return known
    octaves = max(1, math.ceil(OCTAVE * math.log2(known[-1] / known[0])))
    return np.unique(np.concatenate([known, np.geomspace(known[0], known[-1], octaves + 1)[1:-1]]))


def _values(panel: Panel, points: Sequence[int], axis: str, costs: Vector) -> Vector:
    own = np.log([panel.cost(point, axis) for point in points])
    at = np.log(costs)
    right = np.clip(np.searchsorted(own, at), 1, max(1, len(own) - 1))
    if len(own) == 1:
        found = np.repeat(panel.values[:, [points[0]]], len(costs), axis=1)
    else:
        width = own[right] - own[right - 1]
        share = np.clip((at - own[right - 1]) / np.where(width > 0, width, 1), 0, 1)
        left, next_ = (panel.values[:, np.asarray(points)[right - k]] for k in (1, 0))
        found = np.where(share == 0, left, np.where(share == 1, next_, (1 - share) * left + share * next_))
    return np.where(at < own[0] - 1e-12, np.nan, found)


def _changes(lines: Sequence[Line]) -> Iterator[tuple[Line, Line, int]]:
    """Who is overtaken by whom, and before which of the costs."""
    means = np.stack([_mean(line.values) for line in lines])
    best = [int(np.nanargmax(column)) if not np.isnan(column).all() else -1 for column in means.T]
    for place in range(1, len(best)):
        if best[place] != best[place - 1] and best[place - 1] >= 0:
            yield lines[best[place - 1]], lines[best[place]], place


def _crossover(panel: Panel, costs: Vector, behind: Line, ahead: Line, place: int, over: Over) -> dict[str, Any]:
    difference = ahead.values - behind.values
    scored = ~np.isnan(difference[:, -1])
    difference, conditions = difference[scored], panel.conditions[scored]
    starts = bool(np.isnan(ahead.values[:, place - 1]).all())
    at = 0.0 if starts else crossing(costs, _mean(difference), float(costs[place]))
    if not 0 < at < math.inf:  # it starts there, or is ahead by problems that the other has not scored
        at = float(costs[place])
    found = np.array([crossing(costs, each, at) for each in _resampled(difference, conditions, over)])
    low, high = _ends(found) if len(found) else (math.nan, math.nan)
    first = float(costs[np.flatnonzero(~np.isnan(_mean(difference)))[0]]) if scored.any() else math.nan
    crossed = float(((found > 0) & np.isfinite(found)).mean()) if len(found) else math.nan
    if starts:
        low, high = max(low, first), max(high, first)  # nothing is said of costs at which it is not there
    numbers = {"at": at, "low": low, "high": high, "share": crossed, "starts": starts, "n": int(scored.sum())}
    return {"behind": behind.label, "ahead": ahead.label, **numbers}


def _ends(found: Vector) -> tuple[float, float]:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(found, [tail, 1 - tail], method="inverted_cdf")
    return float(low), float(high)


def _mean(values: Vector) -> Vector:
    """Of each column, over the problems that are scored; NaN where there is none."""
    counts = (~np.isnan(values)).sum(axis=0)
    found: Vector = np.where(counts > 0, np.nansum(values, axis=0) / np.maximum(counts, 1), np.nan)
    return found


def _resampled(difference: Vector, conditions: Any, over: Over) -> Iterator[Vector]:
    """Means of the difference in resamples of problems, or of conditions, [costs] each."""
    units = np.arange(len(difference))
    if over == "conditions":
        _, units = np.unique(conditions, return_inverse=True)
    number = int(units.max(initial=-1)) + 1
    if number < 2:
        return
    there = ~np.isnan(difference)
    sums = np.zeros((number, difference.shape[1]))
    counts = np.zeros_like(sums)
    np.add.at(sums, units, np.where(there, difference, 0))
    np.add.at(counts, units, there)
    for drawn in draws(number, RESAMPLES):
        with np.errstate(invalid="ignore"):
            yield from (drawn @ sums) / (drawn @ counts)
