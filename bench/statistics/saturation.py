"""A saturating curve fitted to a curve's means, or the reason why none fits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.statistics.intervals import CONFIDENCE, ROUNDING, Vector, draws
from bench.statistics.observations import observations
from bench.statistics.panel import Panel, check_axis, panels

RESAMPLES = 500
POINTS, PROBLEMS = 4, 5
"""The fewest that are fitted: three numbers need a fourth point, and an interval a few problems."""
SLOWEST, FASTEST = 1 / 32, 8.0
"""Bounds of k: below, a curve cannot be told from one that rises with log c for ever; above, from a step."""
SLACK = 1e-5
"""Of the means' range: residuals so small come from the end of the search for k."""
GRID, REFINEMENTS = 64, 25

_PARAMETERS = [f"{name}{end}" for name in "abk" for end in ("", "_low", "_high")]
COLUMNS = ["reward", "search", "curve", "axis", "points", "n", *_PARAMETERS, "fits", "reason"]


def saturation(trials: pd.DataFrame, axis: str = "nfe", flops: float | None = None) -> pd.DataFrame:
    """r(c) = a - b c^(-k), b > 0 and k > 0, fitted to the means of each curve by least squares.

    a is what the search would reach with boundless compute, if it went on as it does. The intervals are percentiles of
    fits to resampled problems (95 %). That no curve fits is said in ``reason`` and never left to the eye: too few
    points or problems, means that do not rise, k on its bounds, an interval of a that is wider than the range of the
    means, or a residual whose interval, corrected for the number of points (Bonferroni), leaves out 0. Problems are
    common to all points, so that those intervals are much narrower than the means' own.

    Args:
        trials: one row per trial.
        axis: the cost c: nfe, flops, device_seconds, wall_seconds, decodes or reward_calls.
        flops: see :func:`bench.statistics.observations.observations`.

    Returns:
        The columns :data:`COLUMNS`, one row for each curve with more than one point: ``n`` problems are scored at every
        point; a, b, k with their intervals, NaN where nothing could be fitted; ``fits``, and ``reason``, empty or
        beginning with "does not fit: ". a may be below 0, as rewards may.

    Raises:
        SettingError: no such axis, or a point has several trials of one problem.
    """
    check_axis(axis)
    rows = [
        _fitted(panel, curve, points, axis)
        for panel in panels(observations(trials, flops))
        for curve, points in panel.curves(axis).items()
        if len(points) > 1
    ]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"fits": bool})


@dataclass(frozen=True)
class Fit:
    """Curves a - b u^(-k) fitted to rows of means, u being the cost over the first point's.

    Args:
        a, b, k: the parameters, [rows].
        residuals: means minus the curve, [rows, points].
    """

    a: Vector
    b: Vector
    k: Vector
    residuals: Vector


def fit(means: Vector, costs: Vector) -> Fit:
    """The least squares fit to each row of means, [rows, points].

    For a given k the best a and b are those of a linear regression (variable projection, Golub and Pereyra 1973), so
    that only k is searched: on a grid of its logarithm, then by golden sections around the best.

    Args:
        means: [rows, points].
        costs: [points], above 0, ascending.
    """
    log_cost = np.log(costs / costs[0])
    grid = np.linspace(math.log(SLOWEST), math.log(FASTEST), GRID)
    best = _best_place(means, log_cost, grid)
    low, high = grid[np.maximum(best - 1, 0)], grid[np.minimum(best + 1, GRID - 1)]
    log_k = _golden(means, log_cost, low, high)
    found = _regression(means, log_cost, log_k)
    return Fit(found.a, found.b, np.exp(log_k), found.residuals)


def _best_place(means: Vector, log_cost: Vector, grid: Vector) -> NDArray[np.intp]:
    """The place on a grid of log k with the least error, [rows]; the first where nothing rises."""
    falls = np.exp(-np.exp(grid)[:, None] * log_cost)
    centred = falls - falls.mean(1, keepdims=True)
    explained = np.maximum(-(means @ centred.T), 0) ** 2 / (centred**2).sum(1)
    place: NDArray[np.intp] = explained.argmax(1)
    return place


class _Regression(NamedTuple):
    a: Vector
    b: Vector
    residuals: Vector
    error: Vector


def _regression(means: Vector, log_cost: Vector, log_k: Vector) -> _Regression:
    """The best a and b >= 0 of each row at its k."""
    falls = np.exp(-np.exp(log_k)[:, None] * log_cost)
    centred = falls - falls.mean(1, keepdims=True)
    b = np.maximum(-(centred * means).sum(1) / (centred**2).sum(1), 0.0)
    a = means.mean(1) + b * falls.mean(1)
    residuals = means - a[:, None] + b[:, None] * falls
    return _Regression(a, b, residuals, (residuals**2).sum(1))


def _golden(means: Vector, log_cost: Vector, low: Vector, high: Vector) -> Vector:
    """Log k of the least error of each row, between its bounds."""
    ratio = (math.sqrt(5) - 1) / 2
    for _ in range(REFINEMENTS):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        keep_left = _regression(means, log_cost, left).error < _regression(means, log_cost, right).error
        low, high = np.where(keep_left, low, left), np.where(keep_left, right, high)
    return (low + high) / 2


def _fitted(panel: Panel, curve: str, points: list[int], axis: str) -> dict[str, Any]:
    costs = np.array([panel.cost(point, axis) for point in points])
    points = [
        point for point, first in zip(points, [True, *(np.diff(costs) > ROUNDING * costs[1:])], strict=True) if first
    ]
    values = panel.values[:, points]
    values = values[~np.isnan(values).any(1)]
    first = panel.row(points[0])
    row: dict[str, Any] = {**{name: first[name] for name in ("reward", "search", "curve")}, "axis": axis}
    row |= {"points": len(points), "n": len(values), **dict.fromkeys(_PARAMETERS, math.nan), "fits": False}
    if len(points) < POINTS:
        return {**row, "reason": f"does not fit: too few points ({len(points)} of at least {POINTS})"}
    if len(values) < PROBLEMS:
        return {**row, "reason": f"does not fit: too few problems ({len(values)} of at least {PROBLEMS})"}
    costs = np.array([panel.cost(point, axis) for point in points])
    means = values.mean(0)
    found = fit(means[None], costs)
    resampled = fit(np.concatenate([drawn @ values / len(values) for drawn in draws(len(values), RESAMPLES)]), costs)
    reason = _reason(means, found, resampled)
    return {**row, **_parameters(found, resampled, float(costs[0])), "fits": not reason, "reason": reason}


def _parameters(found: Fit, resampled: Fit, first_cost: float) -> dict[str, float]:
    """Values and intervals, with b as of costs, not of their ratios to the first."""
    ends = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    numbers: dict[str, float] = {}
    for name in "abk":
        one, many = getattr(found, name), getattr(resampled, name)
        if name == "b":
            one, many = one * first_cost**found.k, many * first_cost**resampled.k
        low, high = np.quantile(many, ends)
        numbers |= {name: float(one[0]), f"{name}_low": float(low), f"{name}_high": float(high)}
    return numbers


def _reason(means: Vector, found: Fit, resampled: Fit) -> str:
    """Why the curve must not be believed; empty if it may."""
    span = float(np.ptp(means))
    if found.b[0] <= ROUNDING * max(1.0, float(np.abs(means).max())):
        return "does not fit: the means do not rise with compute"
    if found.k[0] < SLOWEST * 1.01:
        return "does not fit: it still rises with every doubling, no ceiling is in sight"
    if found.k[0] > FASTEST / 1.01:
        return "does not fit: all of the gain comes with the first step"
    low, high = np.quantile(resampled.a, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    if high - low > span:
        return f"does not fit: the ceiling is uncertain by {high - low:.3g}, more than the means' range of {span:.3g}"
    if (away := _beyond(found, resampled, span)) is not None:
        side = "above" if found.residuals[0, away] > 0 else "below"
        distance = abs(found.residuals[0, away])
        return f"does not fit: point {away + 1} lies {distance:.3g} {side} the curve, more than chance explains"
    return ""


def _beyond(found: Fit, resampled: Fit, span: float) -> int | None:
    """The point whose residual is farthest from 0 among those whose interval leaves it out."""
    outside = (1 - CONFIDENCE) / found.residuals.shape[1] / 2
    low, high = np.quantile(resampled.residuals, [outside, 1 - outside], axis=0)
    slack = SLACK * span
    sizes = np.where((low > slack) | (high < -slack), np.abs(found.residuals[0]), 0.0)
    return int(sizes.argmax()) if sizes.max() > 0 else None
