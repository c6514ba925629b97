"""A published protocol's number at every point, computed as the protocol demands."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from bench.statistics.curves import curve_labels, label
from bench.statistics.observations import POINT
from bench.store.schema import SCORE

COLUMNS = [*POINT, "curve", "nfe", "group", "score", "prompts", "n", "unscored", "value", "low", "high"]
ALL = "all"
"""In place of a group: the protocol's number."""
NORMAL = 1.959963984540054
"""Half of a 95 % interval, in standard errors."""


class Group(NamedTuple):
    """A group of prompts at a point.

    Args:
        value: mean over its images; NaN without one that is scored.
        variance: of that mean, from the spread of the prompts' means; NaN with fewer than two prompts.
        n: images that are scored.
    """

    value: float
    variance: float
    prompts: int
    n: int
    unscored: int


def protocol_numbers(
    trials: pd.DataFrame,
    groups: Mapping[str, str],
    scorers: Mapping[str, str],
    number: Literal["groups", "prompts", "none"],
    scale: float = 1.0,
) -> pd.DataFrame:
    """A row for each group of each point, and one, :data:`ALL`, for its number.

    Args:
        trials: finished trials, as the store reads them.
        groups: of each condition, as the trials name it; one that is not there is in no group.
        scorers: name of the score that counts, by group; ``""``: of all others.
        number: the mean of the groups' means, the mean of the prompts' means, or none.
        scale: by which values are multiplied.

    Returns:
        The columns :data:`COLUMNS`. ``low`` and ``high`` are the normal approximation's 95 % over prompts, with groups
        as strata.
    """
    labels, rows = curve_labels(trials), list[dict[str, Any]]()
    for key, part in trials.groupby(POINT, dropna=False, sort=False):
        point = dict(zip(POINT, key, strict=True))
        shared = {**point, "curve": label(labels, point), "nfe": float(part["nfe"].mean())}
        rows += [{**shared, **row} for row in _rows(part, groups, scorers, number, scale)]
    return pd.DataFrame(rows, columns=COLUMNS).sort_values(["reward", "curve", "nfe"], kind="stable", ignore_index=True)


def _rows(
    part: pd.DataFrame, groups: Mapping[str, str], scorers: Mapping[str, str], number: str, scale: float
) -> list[dict[str, Any]]:
    names = part["condition"].map(lambda condition: groups.get(condition))
    found = {str(name): _group(rows, _score(str(name), scorers)) for name, rows in part.groupby(names, sort=False)}
    rows = [_row(name, _score(name, scorers), group, scale) for name, group in found.items()]
    if number == "none":
        return rows
    whole = _group(part, _score("", scorers), by_prompt=True)
    if number == "groups":
        values, variances = ([group[place] for group in found.values()] for place in (0, 1))
        mean = float(np.mean(values)) if values else math.nan
        whole = whole._replace(value=mean, variance=float(np.sum(variances)) / max(len(values), 1) ** 2)
    return [_row(ALL, _score("", scorers), whole, scale), *rows]


def _score(group: str, scorers: Mapping[str, str]) -> str | None:
    return scorers.get(group, scorers.get(""))


def _group(rows: pd.DataFrame, score: str | None, by_prompt: bool = False) -> Group:
    """A group's mean over images, or over prompts' means."""
    column = f"{SCORE}{score}"
    if score is None or column not in rows:
        return Group(math.nan, math.nan, rows["condition"].nunique(), 0, len(rows))
    values = rows[column].astype(float)
    means = values.groupby(rows["condition"]).mean().dropna()
    scored = int(values.notna().sum())
    variance = float(means.var(ddof=1)) / len(means) if len(means) > 1 else math.nan
    value = float(means.mean() if by_prompt else values.mean())
    return Group(value, variance, rows["condition"].nunique(), scored, len(values) - scored)


def _row(name: str, score: str | None, group: Group, scale: float) -> dict[str, Any]:
    half = NORMAL * math.sqrt(group.variance) if group.variance >= 0 else math.nan
    numbers = {"value": group.value, "low": group.value - half, "high": group.value + half}
    counts = {"prompts": group.prompts, "n": group.n, "unscored": group.unscored}
    return {"group": name, "score": score, **counts, **{key: scale * value for key, value in numbers.items()}}
