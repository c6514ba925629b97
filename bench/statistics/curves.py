"""Curves of reward against compute, with confidence intervals over problems."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.statistics.intervals import Over, Vector, effective_n, estimates
from bench.statistics.observations import COSTS, POINT, observations
from bench.study.labels import Curve
from bench.study.labels import curve_labels as labels_of

STATISTICS = ["n", "effective_n", "unscored", "left_out", "mean", "low", "high", "std"]
COLUMNS = ["reward", "search", "curve", "budget", "budget_value", "settings", "derived", *STATISTICS, *COSTS]


def curves(
    trials: pd.DataFrame,
    flops: float | None = None,
    best_of: Sequence[int] | None = None,
    over: Over = "problems",
) -> pd.DataFrame:
    """One row for each point of each curve; the order of the trials changes nothing.

    A trial without a value is no part of n, mean, interval and std; it is counted as unscored, with its cost. One that
    has failed has neither and is left out.

    Args:
        trials: one row per trial, as the store reads them.
        flops: operations of one denoiser forward, as in a run's manifest; None: unknown.
        best_of: points to derive from the samples of best-of-N; see
            :func:`bench.statistics.observations.observations`.
        over: what the bootstrap draws: problems, or whole conditions with all their seeds.

    Returns:
        The columns :data:`COLUMNS`, sorted by reward, curve and NFE. ``mean``, ``low``, ``high`` (95 %, BCa
        bootstrap) and ``std`` (n - 1) are of the final images' reward; costs are means, NaN where unknown.
        ``effective_n`` is the number of independent problems that say as much about conditions; ``derived`` marks
        points of best-of-k made from a larger N, and ``left_out`` counts its samples that could not be scored.
    """
    trials = observations(trials, flops, best_of)
    labels = curve_labels(trials)
    groups = list(trials.groupby(POINT, dropna=False, sort=False))
    points: list[dict[str, Any]] = [dict(zip(POINT, key, strict=True)) for key, _ in groups]
    found = _statistics([group for _, group in groups], over)
    rows = [{**point, **numbers, "curve": label(labels, point)} for point, numbers in zip(points, found, strict=True)]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return frame.sort_values(["reward", "curve", "nfe", "budget_value", "settings"], ignore_index=True)


def curve_labels(trials: pd.DataFrame) -> dict[Curve, str]:
    """A readable label for the curve of every (search, settings, budget); see :mod:`bench.study.labels`."""
    found = trials[["search", "settings", "budget"]].drop_duplicates().itertuples(index=False)
    return labels_of((str(p[0]), str(p[1]), _name(p[2])) for p in found)


def label(labels: dict[Curve, str], point: Mapping[Any, Any]) -> str:
    """The label of a point's curve, among those that :func:`curve_labels` gives."""
    return labels[str(point["search"]), str(point["settings"]), _name(point["budget"])]


def relabelled(frame: pd.DataFrame, labels: dict[Curve, str]) -> pd.DataFrame:
    """A table of points with their labels among more curves than those that it has."""
    return frame.assign(curve=[label(labels, point) for point in frame.to_dict("records")]) if len(frame) else frame


def parquet(frame: pd.DataFrame) -> bytes:
    """A table as the bytes of a Parquet file."""
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


def count_text(frame: pd.DataFrame, counted: str = "problem") -> str:
    """``n = 12 problems``, or a range where the points have different numbers of what is counted."""
    fewest, most = int(frame["n"].min()), int(frame["n"].max())
    number = str(most) if fewest == most else f"{fewest} to {most}"
    return f"n = {number} {counted}{'' if most == 1 else 's'}"


def _statistics(groups: list[pd.DataFrame], over: Over) -> list[dict[str, float]]:
    scored = [group[group["value"].notna()] for group in groups]
    values = [group["value"].to_numpy(np.float64) for group in scored]
    conditions = [group["condition"].to_numpy() for group in scored]
    intervals = estimates(values, conditions if over == "conditions" else None)
    return [
        {
            **intervals[k]._asdict(),
            "effective_n": effective_n(values[k], conditions[k]),
            "unscored": len(group) - len(values[k]),
            "left_out": int(group["left_out"].sum()),
            "derived": bool(group["derived"].all()),
            "std": _standard_deviation(values[k]),
            **{cost: float(group[cost].mean()) for cost in COSTS},
        }
        for k, group in enumerate(groups)
    ]


def _standard_deviation(values: Vector) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else np.nan


def _name(budget: object) -> str | None:
    """A budget's name; the many ways in which a table says that there is none become None."""
    return budget if isinstance(budget, str) else None
