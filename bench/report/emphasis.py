"""Choose the curves that a chart puts in front: twenty of one weight cannot be read."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

CROWDED = 9
"""With this many curves in a panel, or more, only the best keep their colours until they are touched."""

IN_FRONT = 3


def in_front(curves: pd.DataFrame, column: str = "nfe", number: int = IN_FRONT) -> list[str]:
    """The best curves of one panel, best first; all of them where there are few.

    Curves are held against each other at a cost that half of them reach, read between their points on a logarithmic
    axis; a curve that ends before stays at its last point, and one that begins later stands behind.

    Args:
        curves: of one panel: ``curve``, the cost's column and ``mean``.
        column: the cost.
        number: how many.
    """
    known = curves[curves["mean"].notna() & curves[column].notna()]
    labels = [str(label) for label in dict.fromkeys(known["curve"])]
    if len(labels) < CROWDED:
        return labels
    cost = known.groupby("curve")[column].max().median()
    begun = {str(label): _at(cost, points, column) for label, points in known.groupby("curve")}
    return sorted((label for label in begun if not math.isnan(begun[label])), key=lambda label: -begun[label])[:number]


def _at(cost: float, points: pd.DataFrame, column: str) -> float:
    """A curve's mean at a cost; NaN before it begins."""
    line = points.sort_values(column)
    costs = np.log(line[column].to_numpy(float).clip(min=1e-300))
    return float(np.interp(math.log(cost), costs, line["mean"].to_numpy(float), left=math.nan))


def is_crowded(curves: pd.DataFrame) -> bool:
    """Whether some panel of these curves has more of them than can be read."""
    return bool(len(curves)) and int(curves.groupby("reward")["curve"].nunique().max()) >= CROWDED
