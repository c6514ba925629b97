"""Searches at equal compute: who wins, by how much, and every pair of curves against each other."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bench.statistics.comparisons import OUTCOMES, PAIRED, compare_pairs
from bench.statistics.intervals import Estimate, Over, Vector, estimates
from bench.statistics.observations import observations
from bench.statistics.panel import Panel, check_axis, panels

BASELINE = "naive"
SAME = 1e-9
"""Costs whose ratio is this near to 1 are the same."""

_WINNER = ["reward", "axis", "at", "curves", "carried", "winner", "winner_spent", "mean", "low", "high", "n"]
_RUNNER_UP = ["runner_up", "runner_up_spent", "runner_up_mean"]
_LEAD = ["lead", "lead_low", "lead_high", "lead_n", "lead_p", "lead_p_holm"]
_GAIN = ["gain", "gain_low", "gain_high", "gain_n", "gain_p", "gain_p_holm"]
COLUMNS = [*_WINNER, *_RUNNER_UP, *_LEAD, *_GAIN, "interpolated"]
_PAIR = ["reward", "axis", "at", "a", "b", "a_mean", "b_mean", "a_spent", "b_spent", "interpolated"]
PAIR_COLUMNS = [*_PAIR, *PAIRED, *OUTCOMES]


class Reached(NamedTuple):
    """A curve at one cost.

    Args:
        curve: its label.
        values: by problem, [problems]; NaN: unscored or not run.
        spent: what it has spent there: the cost, or less, where its last point is carried forward.
        interpolated: whether the cost lies between two of its points.
    """

    curve: str
    values: Vector
    spent: float
    interpolated: bool = False

    @property
    def scored(self) -> Vector:
        return self.values[~np.isnan(self.values)]

    @property
    def mean(self) -> float:
        return float(self.scored.mean())


def matched(
    trials: pd.DataFrame,
    at: Sequence[float] | None = None,
    axis: str = "nfe",
    flops: float | None = None,
    over: Over = "problems",
    baseline: str = BASELINE,
) -> pd.DataFrame:
    """At each cost, the curve with the highest mean, and its lead over the next one and its gain over a baseline.

    Between two of its points a curve is, for each problem, linear in the logarithm of the cost, so that problems stay
    paired. Before its first point it is not there. After its last one it stays at what it has reached: a search that
    needs less compute for a reward has it at more. A baseline of one point, as naive, is that point whatever the cost.
    To test the winner against the runner-up, as if the data had not chosen them, is valid two-sidedly (Hung and
    Fithian 2019, "Rank verification").

    Args:
        trials: one row per trial.
        at: costs; None: the powers of two at which there are two curves, one of them not past its last point; where
            there is none, the least and the largest such cost.
        axis: the cost that is equal: nfe, flops, device_seconds, wall_seconds, decodes or reward_calls.
        flops: see :func:`bench.statistics.observations.observations`.
        over: what the bootstrap draws.
        baseline: the search that the gain is over; of several curves the one that is highest there.

    Returns:
        The columns :data:`COLUMNS`, one row for each reward and cost at which any curve is. ``curves`` counts those,
        ``carried`` those of them past their last point, of which ``*_spent`` is the cost (else: ``at``). ``mean``,
        ``low`` and ``high`` are the winner's; ``lead`` and ``gain`` are paired, with 95 % intervals, over the problems
        that both have scored, and ``*_p_holm`` are corrected for all leads and gains of the reward; ``interpolated``:
        the winner or the runner-up is between two of its points. NaN: nothing to compare with.

    Raises:
        SettingError: no such axis, or a point has several trials of one problem.
    """
    check_axis(axis)
    return matched_of(panels(observations(trials, flops)), at, axis, over, baseline)


def matched_of(
    found: Sequence[Panel], at: Sequence[float] | None, axis: str, over: Over = "problems", baseline: str = BASELINE
) -> pd.DataFrame:
    """:func:`matched` of panels, of any of their costs."""
    rows = [row for panel in found for row in _matched(panel, at, axis, over, baseline)]
    return pd.DataFrame(rows, columns=COLUMNS)


def matched_pairs(
    trials: pd.DataFrame,
    at: Sequence[float] | None = None,
    axis: str = "nfe",
    flops: float | None = None,
    over: Over = "problems",
) -> pd.DataFrame:
    """Every pair of curves at each cost where both are, as in :func:`matched`, and one is not past its last point.

    Args:
        trials, at, axis, flops, over: as of :func:`matched`.

    Returns:
        The columns :data:`PAIR_COLUMNS`: ``difference`` is a - b, paired; ``p_holm`` is corrected for all pairs and
        costs of the reward; ``won`` and ``tied`` are a's shares of the n problems that both have scored; ``*_spent``
        is less than ``at`` where a curve's last point is carried forward.

    Raises:
        SettingError: no such axis, or a point has several trials of one problem.
    """
    check_axis(axis)
    found = panels(observations(trials, flops))
    return pd.DataFrame([row for panel in found for row in _pairs(panel, at, axis, over)], columns=PAIR_COLUMNS)


def reached(panel: Panel, cost: float, axis: str) -> list[Reached]:
    """The curves that are there at a cost and have any value."""
    found = [_at(panel, curve, points, cost, axis) for curve, points in panel.curves(axis).items()]
    return [one for one in found if one is not None and len(one.scored)]


def shared_costs(panel: Panel, axis: str) -> list[float]:
    """The powers of two at which there are at least two curves, one of them not past its last point.

    Where no power of two is such a cost, as in a study of one budget, the least and the largest that are.
    """
    ends = [(panel.cost(points[0], axis), panel.cost(points[-1], axis)) for points in panel.curves(axis).values()]
    if len(ends) < 2:
        return []
    first = sorted(low for low, _ in ends)[1]  # from here on there are two
    last = max(high for _, high in ends)
    powers = [2.0**power for power in range(math.floor(math.log2(first)), math.ceil(math.log2(last)) + 1)]
    found = [cost for cost in powers if first * (1 - SAME) <= cost <= last * (1 + SAME)]
    return found or [first, last][: 1 + (last > first * (1 + SAME))]


def _at(panel: Panel, curve: str, points: list[int], cost: float, axis: str) -> Reached | None:
    costs = [panel.cost(point, axis) for point in points]
    for point, own in zip(points, costs, strict=True):
        if math.isclose(own, cost, rel_tol=SAME):
            return Reached(curve, panel.values[:, point], cost)
    above = int(np.searchsorted(costs, cost))
    if above == 0:
        return None
    left = points[above - 1]
    if above == len(points):
        return Reached(curve, panel.values[:, left], costs[-1])
    share = math.log(cost / costs[above - 1]) / math.log(costs[above] / costs[above - 1])
    between = (1 - share) * panel.values[:, left] + share * panel.values[:, points[above]]
    return Reached(curve, between, cost, interpolated=True)


def _matched(panel: Panel, at: Sequence[float] | None, axis: str, over: Over, baseline: str) -> list[dict[str, Any]]:
    costs = shared_costs(panel, axis) if at is None else [float(cost) for cost in at]
    ranked = [sorted(reached(panel, cost, axis), key=lambda one: (-one.mean, -one.spent, one.curve)) for cost in costs]
    tables = [(cost, found) for cost, found in zip(costs, ranked, strict=True) if found]
    nobody = Reached("", np.full(len(panel.conditions), np.nan), math.nan)
    bases = [_baseline(panel, cost, axis, baseline) or nobody for cost, _ in tables]
    winners = [found[0] for _, found in tables]
    seconds = [found[1] if len(found) > 1 else nobody for _, found in tables]
    leads = [(winner.values, second.values) for winner, second in zip(winners, seconds, strict=True)]
    gains = [
        (one.values, (nobody if one.curve == base.curve else base).values)
        for one, base in zip(winners, bases, strict=True)
    ]
    compared = compare_pairs([*leads, *gains], panel.conditions, over)
    own = _intervals(winners, panel, over)
    return [
        {
            **{"reward": panel.reward, "axis": axis, "at": cost, "curves": len(found)},
            "carried": sum(one.spent < cost for one in found),
            **{"winner": winners[k].curve, "winner_spent": winners[k].spent},
            **own[k]._asdict(),
            **{"runner_up": seconds[k].curve or None, "runner_up_spent": seconds[k].spent},
            "runner_up_mean": seconds[k].mean if seconds[k].curve else math.nan,
            **_named(_LEAD, compared[k]),
            **_named(_GAIN, compared[len(tables) + k]),
            "interpolated": winners[k].interpolated or seconds[k].interpolated,
        }
        for k, (cost, found) in enumerate(tables)
    ]


def _pairs(panel: Panel, at: Sequence[float] | None, axis: str, over: Over) -> list[dict[str, Any]]:
    costs = shared_costs(panel, axis) if at is None else [float(cost) for cost in at]
    found = [
        (cost, a, b)
        for cost in costs
        for a, b in itertools.combinations(reached(panel, cost, axis), 2)
        if max(a.spent, b.spent) == cost  # else it is the pair of a lower cost again
    ]
    compared = compare_pairs([(a.values, b.values) for _, a, b in found], panel.conditions, over)
    return [
        {
            **{"reward": panel.reward, "axis": axis, "at": cost, "a": a.curve, "b": b.curve},
            **{"a_mean": a.mean, "b_mean": b.mean, "a_spent": a.spent, "b_spent": b.spent},
            "interpolated": a.interpolated or b.interpolated,
            **numbers,
        }
        for (cost, a, b), numbers in zip(found, compared, strict=True)
    ]


def _baseline(panel: Panel, cost: float, axis: str, baseline: str) -> Reached | None:
    """What the baseline has at a cost; of one point, its own, whatever the cost."""
    own = panel.points[panel.points["search"] == baseline]
    if len(own) == 1:
        return Reached(str(own["curve"].iloc[0]), panel.values[:, own.index[0]], cost)
    names = set(own["curve"])
    met = [_at(panel, curve, points, cost, axis) for curve, points in panel.curves(axis).items() if curve in names]
    there = [one for one in met if one is not None and len(one.scored)]
    return max(there, key=lambda one: one.mean, default=None)


def _intervals(winners: list[Reached], panel: Panel, over: Over) -> list[Estimate]:
    conditions = [panel.conditions[~np.isnan(one.values)] for one in winners]
    return estimates([one.scored for one in winners], conditions if over == "conditions" else None)


def _named(columns: list[str], numbers: dict[str, float]) -> dict[str, float]:
    values = [numbers[name] for name in ("difference", "low", "high", "n", "p", "p_holm")]
    return dict(zip(columns, values, strict=True))
