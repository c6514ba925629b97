"""What more compute brings: reward per doubling, from each point of a curve to the next."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pandas as pd

from bench.statistics.intervals import Over, estimates
from bench.statistics.observations import observations
from bench.statistics.panel import Panel, check_axis, panels

_STEP = ["reward", "search", "curve", "budget", "from_value", "to_value", "axis", "from_cost", "to_cost", "doublings"]
COLUMNS = [*_STEP, "n", "gain", "gain_low", "gain_high", "per_doubling", "low", "high", "derived"]


def returns(
    trials: pd.DataFrame, axis: str = "nfe", flops: float | None = None, over: Over = "problems"
) -> pd.DataFrame:
    """The gain from each point of a curve to its next dearer one, whole and per doubling of the cost.

    Args:
        trials: one row per trial.
        axis: the cost: nfe, flops, device_seconds, wall_seconds, decodes or reward_calls.
        flops: see :func:`bench.statistics.observations.observations`.
        over: what the bootstrap draws.

    Returns:
        The columns :data:`COLUMNS`. ``gain`` is the mean paired difference over the ``n`` problems that both points
        have scored, with its 95 % interval; ``per_doubling``, with ``low`` and ``high``, is that divided by
        ``doublings``; ``derived``: one of both was not run. Points of the same cost have no row.

    Raises:
        SettingError: no such axis, or a point has several trials of one problem.
    """
    check_axis(axis)
    found = panels(observations(trials, flops))
    return pd.DataFrame([row for panel in found for row in _steps(panel, axis, over)], columns=COLUMNS)


def _steps(panel: Panel, axis: str, over: Over) -> list[dict[str, Any]]:
    neighbours = [pair for points in panel.curves(axis).values() for pair in itertools.pairwise(points)]
    pairs = [(a, b) for a, b in neighbours if not math.isclose(panel.cost(a, axis), panel.cost(b, axis))]
    differences = [panel.values[:, b] - panel.values[:, a] for a, b in pairs]
    shared = [~np.isnan(one) for one in differences]
    conditions = [panel.conditions[both] for both in shared]
    gains = estimates(
        [one[both] for one, both in zip(differences, shared, strict=True)],
        conditions if over == "conditions" else None,
    )
    rows = []
    for (a, b), gain in zip(pairs, gains, strict=True):
        first, second = panel.row(a), panel.row(b)
        doublings = math.log2(second[axis] / first[axis])
        rows.append(
            {
                **{name: first[name] for name in ("reward", "search", "curve", "budget")},
                **{"from_value": first["budget_value"], "to_value": second["budget_value"], "axis": axis},
                **{"from_cost": first[axis], "to_cost": second[axis], "doublings": doublings, "n": gain.n},
                **{"gain": gain.mean, "gain_low": gain.low, "gain_high": gain.high},
                "per_doubling": gain.mean / doublings,
                **{"low": gain.low / doublings, "high": gain.high / doublings},
                "derived": first["derived"] or second["derived"],
            }
        )
    return rows
