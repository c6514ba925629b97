"""Curves of reward against compute, with confidence intervals over problems."""

from __future__ import annotations

import io
import json
import warnings
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import DegenerateDataWarning, bootstrap

from tts.errors import SettingError

RESAMPLES, CONFIDENCE, SEED = 2000, 0.95, 0
PROBLEM = ["condition", "seed"]
POINT = ["reward", "search", "settings", "budget", "budget_value"]
COSTS = ["nfe", "device_seconds", "decodes", "reward_calls"]
STATISTICS = ["n", "unscored", "mean", "low", "high", "std"]
COLUMNS = ["reward", "search", "curve", "budget", "budget_value", "settings", *STATISTICS, *COSTS]

Key: TypeAlias = tuple[str, str]
"""A search's name and its settings as canonical JSON, as in the trials."""
_Point: TypeAlias = tuple[str, str, str | None]


class Estimate(NamedTuple):
    """A mean over problems with its 95 % interval; NaN where too few problems say nothing."""

    n: int
    mean: float
    low: float
    high: float


def curves(trials: pd.DataFrame) -> pd.DataFrame:
    """One row for each point of each curve; the order of the trials changes nothing.

    A trial without a value is no part of n, mean, interval and std; it is counted as unscored, with its cost. One that
    has failed has neither and is left out.

    Args:
        trials: one row per trial, as the store reads them.

    Returns:
        The columns :data:`COLUMNS`, sorted by reward, curve and NFE. ``mean``, ``low``, ``high`` (95 %, BCa
        bootstrap over problems) and ``std`` (n - 1) are of the final images' reward; costs are means.
    """
    if "error" in trials:
        trials = trials[trials["error"].isna()]
    trials = _sorted(trials.drop_duplicates(["trial", "budget"]))
    labels = curve_labels(trials)
    rows = []
    for key, group in trials.groupby(POINT, dropna=False, sort=False):
        point = dict(zip(POINT, key, strict=True))
        curve = labels[str(point["search"]), str(point["settings"]), _name(point["budget"])]
        rows.append({**point, "curve": curve, **_statistics(group)})
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return frame.sort_values(["reward", "curve", "nfe", "budget_value", "settings"], ignore_index=True)


def curve_labels(trials: pd.DataFrame) -> dict[_Point, str]:
    """A readable label for the curve of every (search, settings, budget).

    The label is the search's name and those settings that tell its curves apart: of all but the growing one,
    those that have not the same value on all of them.
    """
    found = trials[["search", "settings", "budget"]].drop_duplicates().itertuples(index=False)
    fixed = {(str(p[0]), str(p[1]), _name(p[2])): _fixed_settings(str(p[1]), _name(p[2])) for p in found}
    return {point: _label(point[0], own, _alternatives(point[0], fixed)) for point, own in fixed.items()}


def estimate(values: NDArray[np.float64]) -> Estimate:
    """Mean and 95 % interval by the bias-corrected and accelerated bootstrap (Efron 1987, BCa).

    Equal values have an interval without width; one value has none (NaN).

    Args:
        values: one a problem, [n], without NaN; their order matters in the last digits, so sort by problem.
    """
    mean = float(values.mean()) if len(values) else np.nan
    if len(values) < 2:
        return Estimate(len(values), mean, np.nan, np.nan)
    if np.ptp(values) == 0:
        return Estimate(len(values), *[float(values[0])] * 3)
    with warnings.catch_warnings():  # values equal but for rounding: the NaN interval says it
        warnings.simplefilter("ignore", DegenerateDataWarning)
        found = bootstrap(
            (values,),
            np.mean,
            n_resamples=RESAMPLES,
            confidence_level=CONFIDENCE,
            method="BCa",
            rng=np.random.default_rng(SEED),
        ).confidence_interval
    return Estimate(len(values), mean, float(found.low), float(found.high))


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


def parquet(frame: pd.DataFrame) -> bytes:
    """A table as the bytes of a Parquet file."""
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


def count_text(frame: pd.DataFrame) -> str:
    """``n = 12 problems``, or a range where the points have different numbers of scored problems."""
    fewest, most = int(frame["n"].min()), int(frame["n"].max())
    number = str(most) if fewest == most else f"{fewest} to {most}"
    return f"n = {number} problem{'' if most == 1 else 's'}"


def _sorted(trials: pd.DataFrame) -> pd.DataFrame:
    return trials.sort_values([*PROBLEM, "trial"], ignore_index=True)


def _statistics(group: pd.DataFrame) -> dict[str, float]:
    values = group["value"].astype(float)
    scored = np.asarray(values.dropna(), np.float64)
    std = float(scored.std(ddof=1)) if len(scored) > 1 else np.nan
    costs = {cost: float(group[cost].mean()) for cost in COSTS}
    return {**estimate(scored)._asdict(), "unscored": int(values.isna().sum()), "std": std, **costs}


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


def _name(budget: object) -> str | None:
    """A budget's name; the many ways in which a table says that there is none become None."""
    return budget if isinstance(budget, str) else None


def _fixed_settings(settings: str, budget: str | None) -> dict[str, Any]:
    return {name: value for name, value in json.loads(settings).items() if name != budget}


def _alternatives(search: str, fixed: dict[_Point, dict[str, Any]]) -> list[dict[str, Any]]:
    return [settings for point, settings in fixed.items() if point[0] == search]


def _label(search: str, own: dict[str, Any], alternatives: list[dict[str, Any]]) -> str:
    telling = [name for name in own if any(name not in other or other[name] != own[name] for other in alternatives)]
    return " ".join([search, *(f"{name}={_text(own[name])}" for name in telling)])


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
