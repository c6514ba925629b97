"""One reward's values as a matrix, problems by points, so that everything is compared on the same problems."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from bench.statistics.curves import curve_labels, label
from bench.statistics.intervals import Labels, Vector
from bench.statistics.observations import COSTS, POINT, PROBLEM
from tts.errors import SettingError
from tts.settings import nearest

Key: TypeAlias = tuple[str, str, str | None]
"""Search, settings as JSON and budget."""


@dataclass(frozen=True)
class Panel:
    """What was measured of one reward.

    Args:
        reward: that was searched on.
        points: one row a point, by curve and cost: the columns of POINT, ``curve``, ``derived`` and mean COSTS.
        values: the final images' reward, [problems, points]; NaN: unscored or not run.
        conditions: of each problem, [problems].
    """

    reward: str
    points: pd.DataFrame
    values: Vector
    conditions: Labels

    def curves(self, axis: str) -> dict[str, list[int]]:
        """The points of each curve whose cost is known, cheapest first."""
        known = self.points[self.points[axis] > 0].sort_values(axis, kind="stable")
        return {str(curve): [int(place) for place in part.index] for curve, part in known.groupby("curve")}

    def row(self, point: int) -> dict[str, Any]:
        """A point as a dictionary."""
        return {str(name): value for name, value in self.points.loc[point].items()}

    def cost(self, point: int, axis: str) -> float:
        """A point's mean cost."""
        return float(self.points[axis].iloc[point])


def panels(
    trials: pd.DataFrame, labels: dict[Key, str] | None = None, costs: Sequence[str] = tuple(COSTS)
) -> list[Panel]:
    """One panel for each reward, by name.

    Args:
        trials: as :func:`bench.statistics.observations.observations` returns them.
        labels: of the curve of every (search, settings, budget); None: as :func:`curve_labels` gives them.
        costs: columns of the trials that are costs.

    Raises:
        SettingError: a point has several trials of one problem.
    """
    labels = curve_labels(trials) if labels is None else labels
    return [_panel(str(reward), part, labels, costs) for reward, part in trials.groupby("reward")]


def check_axis(axis: str) -> None:
    """Raise SettingError unless an axis is one of COSTS."""
    if axis not in COSTS:
        raise SettingError(f"axis '{axis}': no such cost; {nearest(axis, COSTS)}")


def _panel(reward: str, trials: pd.DataFrame, labels: dict[Key, str], of_costs: Sequence[str]) -> Panel:
    groups = trials.groupby(POINT, dropna=False, sort=False)
    problems = trials.groupby(PROBLEM)
    places, rows = problems.ngroup().to_numpy(), problems.ngroups
    points = [dict(zip(POINT, key, strict=True)) for key, _ in groups]
    values = np.full((rows, len(points)), np.nan)
    column = groups.ngroup().to_numpy()
    if len(np.unique(places * len(points) + column)) < len(trials):
        raise SettingError(f"reward '{reward}': a search has several trials of one problem; are these of one run?")
    values[places, column] = trials["value"].to_numpy(np.float64)
    costs = groups[[*of_costs, "derived"]].mean().reset_index(drop=True)
    frame = pd.DataFrame(points).join(costs).assign(curve=[label(labels, point) for point in points])
    frame["derived"] = frame["derived"].astype(bool)
    order = frame.sort_values(["curve", "nfe", "budget_value", "settings"]).index.to_numpy()
    conditions = problems["condition"].first().to_numpy()
    return Panel(reward, frame.loc[order].reset_index(drop=True), values[:, order], conditions)
