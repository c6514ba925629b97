"""Choose the points that a chart has, and the curves that it puts in front: twenty of one weight cannot be read."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

CROWDED = 9
"""With this many curves in a panel, or more, only the best keep their colours until they are touched."""

IN_FRONT = 3

LEAST = 1e-300
"""Stands for a cost of 0 on a logarithmic axis."""


def placed(curves: pd.DataFrame, column: str) -> pd.DataFrame:
    """The points that can be drawn: those with a mean and a place on the axis of a column."""
    return curves[curves["mean"].notna() & curves[column].notna()]


def in_front(curves: pd.DataFrame, column: str = "nfe", log: bool = True, number: int = IN_FRONT) -> list[str]:
    """The best curves of one panel, best first; all of them where there are few.

    Curves are held against each other at a cost that half of them reach, read between their points as the axis has
    them; a curve that ends before stays at its last point, and one that begins later stands behind.

    Args:
        curves: of one panel: ``curve``, the cost's column and ``mean``.
        column: the cost.
        log: whether its axis is logarithmic.
        number: how many.
    """
    known = placed(curves, column)
    labels = [str(label) for label in dict.fromkeys(known["curve"])]
    if len(labels) < CROWDED:
        return labels
    cost = known.groupby("curve")[column].max().median()
    begun = {str(label): _at(cost, points, column, log) for label, points in known.groupby("curve")}
    return sorted((label for label in begun if not math.isnan(begun[label])), key=lambda label: -begun[label])[:number]


def _at(cost: float, points: pd.DataFrame, column: str, log: bool) -> float:
    """A curve's mean at a cost; NaN before it begins."""
    line = points.sort_values(column)
    costs, means = line[column].to_numpy(float), line["mean"].to_numpy(float)
    if log:
        cost, costs = math.log(max(cost, LEAST)), np.log(costs.clip(min=LEAST))
    return float(np.interp(cost, costs, means, left=math.nan))


def is_crowded(curves: pd.DataFrame) -> bool:
    """Whether some panel of these curves has more of them than can be read."""
    return bool(len(curves)) and int(curves.groupby("reward")["curve"].nunique().max()) >= CROWDED
