"""Metrics of sets of final images, a value for each point of a curve, from stored features."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from bench.statistics.curves import curve_labels, label
from bench.statistics.observations import POINT
from bench.statistics.quoting import OfSet, quoted, sets_of
from bench.store import features
from bench.store.storage import Output
from bench.study.protocol import Problems, Protocol
from tts.errors import DataError, first_line
from tts.metrics.base import MetricSettings, MetricValue

COLUMNS = ["metric", *POINT[:2], "curve", *POINT[2:], "n", "missing", "value", "low", "high", "repeats", "warning"]

HELD_BYTES = 1 << 30
"""Features of as many points are held at once as take about this; of one point at least."""


def set_metrics(
    output: Output,
    trials: pd.DataFrame,
    metrics: Mapping[str, MetricSettings],
    protocol: Protocol = Protocol(),  # noqa: B008  (frozen)
    problems: Problems = Problems(),  # noqa: B008  (frozen)
) -> pd.DataFrame:
    """One row for each metric and point.

    Args:
        output: the run that stores the features.
        trials: of it, one row per trial, as the store reads them; failed ones are left out.
        metrics: by name.
        protocol, problems: the run's; of several sets of images each has a value, of which one is quoted.

    Returns:
        The columns :data:`COLUMNS`: ``n`` images have features, ``missing`` finished trials have none; ``value`` with
        its 95 % interval (NaN: cannot be said), and a ``warning`` where there are fewer images than the metric needs.
        ``repeats`` are the values of all sets as JSON, None of a single one. Of several sets ``n`` is that of the
        smallest; the least value's interval is that of its set alone, the mean's is Student's over sets.

    Raises:
        DataError: a part is damaged.
    """
    trials = trials[trials["error"].isna()] if "error" in trials else trials
    labels = curve_labels(trials)
    groups = [(dict(zip(POINT, key, strict=True)), part) for key, part in trials.groupby(POINT, dropna=False)]
    sets = [sets_of(part, protocol, problems) for _, part in groups]
    members = [trials for point in sets for trials in point]
    rows = []
    for name, metric in metrics.items():
        reference = metric.reference() if groups else None
        values = [
            OfSet(_value(name, metric, found, reference), len(found), len(members[place]) - len(found))
            for place, found in _gathered(output, metric.extractor, members)
        ]
        for k, (point, _) in enumerate(groups):
            numbers = quoted(values[k * protocol.repeats : (k + 1) * protocol.repeats], protocol.quote)
            warning = _warning(numbers["n"], numbers["missing"], metric.enough)
            rows.append({**point, "metric": name, "curve": label(labels, point), **numbers, "warning": warning})
    return pd.DataFrame(rows, columns=COLUMNS).sort_values(COLUMNS[:6], ignore_index=True)


def _value(name: str, metric: MetricSettings, found: features.Vectors, reference: Any) -> MetricValue:
    """Stored features are data from anywhere: whatever a metric finds wrong with them is one line."""
    if not len(found):
        return MetricValue(math.nan)
    try:
        return metric.aggregate(found, reference)
    except (ArithmeticError, LookupError, ValueError) as error:
        raise DataError(
            f"metric {name}: cannot be told of {found.shape[1]} numbers an image ({first_line(error)})"
        ) from error


def _warning(n: int, missing: int, enough: int) -> str | None:
    said = [f"{n} images are too few: this metric asks for {enough}"] if n < enough else []
    said += [f"{missing} trials have no features"] if missing else []
    return "; ".join(said) or None


def _gathered(output: Output, extractor: str, members: list[list[str]]) -> Iterator[tuple[int, features.Vectors]]:
    """The features of each point's trials, ordered by identity; the run is read once for each group of points."""
    size = next((vectors.shape[1] for _, vectors in features.read(output, extractor)), 0)
    room = max(1, HELD_BYTES // max(1, 4 * size))
    group: list[int] = []
    for place, trials in enumerate(members):
        if group and sum(len(members[k]) for k in group) + len(trials) > room:
            yield from _of_group(output, extractor, members, group, size)
            group = []
        group.append(place)
    yield from _of_group(output, extractor, members, group, size)


def _of_group(
    output: Output, extractor: str, members: list[list[str]], group: list[int], size: int
) -> Iterator[tuple[int, features.Vectors]]:
    wanted: dict[str, list[tuple[int, int]]] = {}
    for place in group:
        for row, trial in enumerate(members[place]):
            wanted.setdefault(trial, []).append((place, row))
    held: dict[int, Any] = {place: np.full((len(members[place]), size), np.nan, np.float32) for place in group}
    for trials, vectors in features.read(output, extractor):
        if vectors.shape[1] != size:
            raise DataError(f"{output}: features of {size} and of {vectors.shape[1]} numbers from one extractor")
        for trial, vector in zip(trials, vectors, strict=True):
            for place, row in wanted.get(trial, ()):
                held[place][row] = vector
    for place in group:
        yield place, held[place][np.isfinite(held[place]).all(axis=1)] if size else held[place][:0]
