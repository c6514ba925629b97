"""The value to quote for several sets of images of one point."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from bench.statistics.intervals import CONFIDENCE
from bench.study.protocol import Problems, Protocol
from tts.metrics.base import MetricValue


class OfSet(NamedTuple):
    """Of one set: the metric, images with features, and trials without."""

    value: MetricValue
    n: int
    missing: int


def sets_of(trials: pd.DataFrame, protocol: Protocol, problems: Problems) -> list[list[str]]:
    """The trials of each set of images of a point, ordered by their identities."""
    rows = trials.drop_duplicates("trial").sort_values("trial")
    if protocol.repeats == 1:
        return [rows["trial"].tolist()]
    found: list[list[str]] = [[] for _ in range(protocol.repeats)]
    for trial, seed in zip(rows["trial"], rows["seed"], strict=True):
        found[protocol.set_of(int(seed), problems)].append(trial)
    return found


def quoted(found: Sequence[OfSet], quote: str) -> dict[str, Any]:
    """What is said of all sets of a point: ``n``, ``missing``, ``value``, ``low``, ``high`` and ``repeats``."""
    numbers = {"n": min(each.n for each in found), "missing": sum(each.missing for each in found)}
    if len(found) == 1:
        return {**numbers, **found[0].value._asdict(), "repeats": None}
    values = np.array([each.value.value for each in found])
    repeats = json.dumps([None if math.isnan(value) else float(f"{value:.8g}") for value in values])
    if np.isnan(values).any():  # a set that is not there yet might be the least
        said = MetricValue(math.nan)
    elif quote == "min":
        said = found[int(values.argmin())].value
    else:
        half = float(stdtrit(len(values) - 1, (1 + CONFIDENCE) / 2) * values.std(ddof=1) / math.sqrt(len(values)))
        said = MetricValue(float(values.mean()), float(values.mean()) - half, float(values.mean()) + half)
    return {**numbers, **said._asdict(), "repeats": repeats}
