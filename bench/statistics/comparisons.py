"""Searches against each other on the same problems."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from bench.statistics.intervals import Estimate, Labels, Over, Vector, effective_n, estimate, estimates
from bench.statistics.observations import PROBLEM, observations
from bench.statistics.panel import Panel, panels
from bench.statistics.significance import effect, holm, sign_flip, totals
from tts.errors import SettingError
from tts.settings import nearest

Key: TypeAlias = tuple[str, str]
"""A search's name and its settings as canonical JSON, as in the trials."""

PAIRED = ["n", "effective_n", "difference", "low", "high", "effect", "p"]
OUTCOMES = ["p_holm", "won", "tied"]
BASELINE = ["baseline", "baseline_curve", "baseline_settings", "baseline_nfe"]
POINT_COLUMNS = ["reward", "search", "curve", "budget", "budget_value", "settings", "derived", "nfe"]
COLUMNS = [*POINT_COLUMNS, *BASELINE, *PAIRED, *OUTCOMES]


def compare_to(
    trials: pd.DataFrame, baseline: str = "naive", flops: float | None = None, over: Over = "problems"
) -> pd.DataFrame:
    """Every point of every other search against a baseline, on the problems that both have scored.

    A baseline with several points meets each point at the one of the nearest NFE (by ratio; of two equally near, the
    cheaper).

    Args:
        trials: one row per trial.
        baseline: name of the search to compare with.
        flops: see :func:`bench.statistics.observations.observations`.
        over: what the bootstrap draws.

    Returns:
        The columns :data:`COLUMNS`, sorted as curves are. ``n`` pairs have the mean ``difference`` (point - baseline)
        with its 95 % interval; ``effect`` is Cohen's d_z; ``p`` is of the sign-flip test, and ``p_holm`` is corrected
        for all comparisons of the same reward; ``won`` and ``tied`` are shares of the n problems. NaN where nothing
        can be said. A reward on which the baseline has no trial has no rows.

    Raises:
        SettingError: no trial has the baseline, or a point has several trials of one problem.
    """
    seen = observations(trials, flops)
    if len(seen) and baseline not in set(seen["search"]):
        raise SettingError(
            f"baseline '{baseline}': no such search in these trials; {nearest(baseline, seen['search'])}"
        )
    rows = [row for panel in panels(seen) for row in _compared_to(panel, baseline, over)]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return frame.sort_values(["reward", "curve", "nfe", "budget_value", "settings"], ignore_index=True)


def paired_difference(trials: pd.DataFrame, reward: str, a: Key, b: Key) -> Estimate:
    """How much better ``a`` is than ``b`` on the same problems: the mean of a - b and its 95 % interval.

    Args:
        trials: one row per trial.
        reward: the reward that both searched on.
        a, b: search and settings.

    Returns:
        ``n`` counts the problems that both have scored; 0 of them gives NaN.

    Raises:
        SettingError: there are no trials of ``a`` or of ``b``, or several of one problem.
    """
    difference = (_values(trials, reward, a) - _values(trials, reward, b)).dropna().sort_index()
    return estimate(np.asarray(difference, np.float64))


def compare_pairs(
    pairs: Sequence[tuple[Vector, Vector]], conditions: Labels, over: Over = "problems"
) -> list[dict[str, float]]:
    """Paired comparisons, a - b each, which are one family for Holm's correction.

    Args:
        pairs: values of a and of b by problem, [problems] each; NaN: unscored or not run.
        conditions: of each problem, [problems].
        over: what the bootstrap draws, and of what the test flips signs.

    Returns:
        For each pair the numbers of PAIRED and OUTCOMES.
    """
    shared = [~np.isnan(a - b) for a, b in pairs]
    differences = [(a - b)[both] for (a, b), both in zip(pairs, shared, strict=True)]
    where = [conditions[both] for both in shared]
    intervals = estimates(differences, where if over == "conditions" else None)
    flipped = list(map(totals, differences, where)) if over == "conditions" else differences
    p = np.asarray(sign_flip(flipped), np.float64)
    return [
        {
            "n": found.n,
            "effective_n": effective_n(values, labels),
            "difference": found.mean,
            "low": found.low,
            "high": found.high,
            "effect": effect(values),
            "p": chance,
            "p_holm": corrected,
            "won": _share(values > 0),
            "tied": _share(values == 0),
        }
        for found, values, labels, chance, corrected in zip(
            intervals, differences, where, p.tolist(), holm(p).tolist(), strict=True
        )
    ]


def _compared_to(panel: Panel, baseline: str, over: Over) -> list[dict[str, Any]]:
    searches = panel.points["search"]
    bases = [int(place) for place in np.flatnonzero(searches == baseline)]
    others = [int(place) for place in np.flatnonzero(searches != baseline)]
    if not bases:
        return []
    met = [_nearest_cost(panel, other, bases) for other in others]
    pairs = [(panel.values[:, other], panel.values[:, base]) for other, base in zip(others, met, strict=True)]
    compared = compare_pairs(pairs, panel.conditions, over)
    return [
        {**panel.row(other), **_base(panel.row(base)), **numbers}
        for other, base, numbers in zip(others, met, compared, strict=True)
    ]


def _nearest_cost(panel: Panel, point: int, bases: list[int]) -> int:
    def distance(base: int) -> tuple[float, float]:
        cost = panel.cost(base, "nfe")
        return round(abs(math.log(cost / panel.cost(point, "nfe"))), 12), cost

    return min(bases, key=distance)


def _base(row: dict[str, Any]) -> dict[str, Any]:
    values = [row["search"], row["curve"], row["settings"], row["nfe"]]
    return dict(zip(BASELINE, values, strict=True))


def _share(hits: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> float:
    return float(hits.mean()) if len(hits) else math.nan


def _values(trials: pd.DataFrame, reward: str, key: Key) -> pd.Series[float]:
    """Values by problem, NaN where unscored."""
    chosen = (trials["reward"] == reward) & (trials["search"] == key[0]) & (trials["settings"] == key[1])
    found = trials[chosen].drop_duplicates("trial")
    if found.empty:
        raise SettingError(f"no trials of search '{key[0]}' with settings {key[1]} on reward '{reward}'")
    if found.duplicated(PROBLEM).any():
        raise SettingError(f"search '{key[0]}' has several trials of one problem: are these trials of one run?")
    values: pd.Series[float] = found.set_index(PROBLEM)["value"].astype(float)
    return values
