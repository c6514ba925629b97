"""metrics.parquet: the metrics of a run's points, from the features that it stores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow as pa

from bench.report.done import about, images_drawn
from bench.statistics.curves import parquet
from bench.statistics.set_metrics import set_metrics
from bench.store import features
from bench.store import reader as store
from bench.store.added import read_added
from bench.store.schema import Field
from bench.store.storage import Output, Storage, place
from bench.study.named import named
from bench.study.protocol import Problems, Protocol
from bench.study.trust import refuse_foreign
from tts.errors import DataError, SettingError, TTSError
from tts.metrics.base import MetricSettings
from tts.registry import METRICS

FILE = "metrics.parquet"

KEPT = f"{FILE} is kept as it is: the features that it was computed from are not here, as an export leaves them out"

FIELDS = (
    Field("metric", pa.string(), "name of the metric in the run's configuration"),
    Field("reward", pa.string(), "the reward searched on"),
    Field("search", pa.string(), "registered name of the search"),
    Field("curve", pa.string(), "label of the curve, as in curves.parquet"),
    Field("settings", pa.string(), "all of the search's settings, JSON"),
    Field("budget", pa.string(), "the setting that grows along the curve; null: none"),
    Field("budget_value", pa.float64(), "its value; null: none"),
    Field("n", pa.int64(), "final images with features"),
    Field("missing", pa.int64(), "finished trials without; no part of n and value"),
    Field("value", pa.float64(), "the metric of these images; null: cannot be said"),
    Field("low", pa.float64(), "lower end of its 95 % interval; null: none"),
    Field("high", pa.float64(), "upper end; null: none"),
    Field("repeats", pa.string(), "values of all sets of which one is quoted, JSON; null: there is one set"),
    Field("warning", pa.string(), "why the value should not be trusted; null: nothing said"),
)
"""Columns of metrics.parquet."""


def write_metrics(trials: pd.DataFrame, source: Output, to: Storage, trust: bool = False) -> list[str]:
    """Write metrics.parquet, if the run has metrics.

    Args:
        trials: of the run, without images.
        source: the run.
        to: where the file goes.
        trust: the manifest may name code of its own.

    Returns: Notes for the reader, a line each.

    Raises:
        SettingError: it cannot be written.
    """
    try:
        metrics = stored_metrics(source, trust)
        if not metrics:
            return []
        kept = _kept(source)
        found = set_metrics(source, trials, metrics, *stored_protocol(source)) if kept is None else pd.DataFrame()
    except TTSError as error:
        return [f"no metrics: {error}"]
    if kept is not None:
        _write(kept, to)
        return [KEPT]
    write_values(found, to)
    return warnings(found)


def write_values(found: pd.DataFrame, to: Storage) -> None:
    """Write metrics.parquet.

    Raises:
        SettingError: it cannot be written.
    """
    _write(parquet(found.astype({"budget": object, "warning": object, "repeats": object})), to)


def _kept(run: Output) -> bytes | None:
    """metrics.parquet of a run that has no features, as an exported one: it cannot be made again."""
    where = place(run)
    if store.names(where, features.FOLDER):
        return None
    try:
        return where.read(FILE)
    except OSError as error:
        raise SettingError(f"output {where}: {FILE} cannot be read ({error.strerror or error})") from None


def _write(content: bytes, to: Storage) -> None:
    try:
        to.write(FILE, content)
    except OSError as error:
        raise SettingError(f"output {to}: cannot be written to ({error.strerror or error})") from None


@dataclass(frozen=True)
class SetMetrics:
    """Rows of :func:`bench.statistics.set_metrics.set_metrics`, and why some runs have none.

    Args:
        values: the rows, each with its ``run``.
        notes: why there are none.
        done: what each metric is of, by its name, and by the run's where two runs give a name to different ones.
        drawn: how the images were drawn, a sentence a run.
        kinds: what each metric tells of, by its name: quality, diversity or both.
    """

    values: pd.DataFrame
    notes: list[str]
    done: dict[str, str]
    drawn: list[str]
    kinds: dict[str, str]


def metrics_of(runs: Sequence[Output], trials: Sequence[pd.DataFrame], trust: bool = False) -> SetMetrics:
    """The metrics of several runs, each by itself.

    Args:
        runs: where they lie.
        trials: of each, as :func:`set_metrics` takes them.
        trust: manifests may name code of their own.
    """
    frames, notes, drawn = [pd.DataFrame()], list[str](), list[str]()
    done, kinds = dict[str, str](), dict[str, str]()
    for run, rows in zip(runs, trials, strict=True):
        try:
            metrics = stored_metrics(run, trust)
            if metrics and _kept(run) is not None:
                notes.append(f"{run}: {KEPT}.")
                continue
            values = [set_metrics(run, rows, metrics, *stored_protocol(run))] if metrics else []
            frames += [frame.assign(run=str(run)) for frame in values]
            for name, metric in metrics.items():
                said = about(metric)
                done[name if done.get(name, said) == said else f"{name} of {run}"] = said
            kinds |= {name: metric.tells for name, metric in metrics.items()}
            drawn += [images_drawn(run)] if metrics else []
        except TTSError as error:
            notes.append(f"{error}.")
    return SetMetrics(pd.concat(frames, ignore_index=True), notes, done, list(dict.fromkeys(drawn)), kinds)


def stored_protocol(output: Output) -> tuple[Protocol, Problems]:
    """How a run's metrics are quoted, and its problems, as its manifest tells them.

    Raises:
        DataError: it tells them in another form.
    """
    given = store.read_manifest(output)["config"]
    try:
        return Protocol.model_validate(given.get("protocol", {})), Problems.model_validate(given.get("problems", {}))
    except ValueError as error:
        raise DataError(f"{place(output)}: its manifest has no usable protocol ({error})") from None


def stored_metrics(output: Output, trust: bool = False, own: Sequence[Any] = ()) -> dict[str, MetricSettings]:
    """The metrics of a run, as its manifest tells them, and those that were added to it.

    Args:
        own: what the user names just now, which may be code, a file or an address.

    Raises:
        UntrustedError: the run names code, files or addresses, and ``trust`` is not given.
        SettingError: one is not known here.
    """
    given = store.read_manifest(output)["config"].get("metrics", [])
    if not isinstance(given, list):
        raise DataError(f"{place(output)}: its manifest has metrics that are no list")
    given = [*given, *read_added(output)]
    if not trust:
        refuse_foreign({"metrics": [each for each in given if each not in own]}, str(place(output)), ["metrics"])
    return named(METRICS, given)


def warnings(found: pd.DataFrame) -> list[str]:
    """A line for each metric of which some values come with a warning."""
    lines = []
    for metric, part in found[found["warning"].notna()].groupby("metric"):
        lines.append(f"{metric}: {len(part)} of its values come with a warning; the first: {part['warning'].iloc[0]}")
    return lines
