"""The tables of fields of the site's page on results, made from the schemas themselves.

``make reference`` writes them anew after a schema has changed; a test fails until that is done.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from bench.report import metrics
from bench.store import features
from bench.store import schema as record
from bench.store.schema import Field

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "results.md"
REWARD = "<reward>"
"""Stands for the name of each of a run's rewards."""

UNITS = {
    **dict.fromkeys(("nfe", "shared_nfe", "nfe_so_far"), "forwards"),
    **dict.fromkeys(("device_seconds", "wall_seconds"), "s"),
    **dict.fromkeys(("first", "stop"), "steps"),
    **dict.fromkeys(("n", "effective_n", "unscored"), "problems"),
    **dict.fromkeys(("reward", "value", "samples", "best", "mean", "low", "high", "std"), "the reward's"),
    f"score_{REWARD}": "the reward's",
    **dict.fromkeys(("decodes", "left_out"), "images"),
    "reward_calls": "calls",
    "flops": "FLOPs",
}

METRIC_UNITS = {
    **dict.fromkeys(("n", "missing"), "images"),
    **dict.fromkeys(("value", "low", "high"), "the metric's"),
}

OWN = {"trial", "search", "settings", "budget", "budget_value", "condition", "label", "seed", "problem_seed", "reward"}
"""Columns of a trial that it has before it is run, and so also if it fails."""

NULLS = {"budget_value": "none", f"score_{REWARD}": "could not be scored"}
"""What null means where the schema's own words do not say it."""

MANIFEST = (
    ("schema_version", "number", "version of the trials' schema with which the run was begun"),
    ("digest", "text", "hash of `resolved`: runs with the same one are the same run, and may share a folder"),
    ("created", "text", "when it was begun, ISO 8601, UTC"),
    ("config", "object", "the configuration as given, with all defaults"),
    (
        "resolved",
        "object",
        "what that means: all that changes a result, with digests of weights; no engines, no places",
    ),
    ("trials", "number", "how many trials the whole study has"),
    ("devices", "list", "the kind of device of each engine that it was begun with"),
    ("flops", "number", "FLOPs of one denoiser forward of one image; null: not known"),
    ("levels", "list", "noise levels before each step and after the last, steps + 1 numbers"),
    ("versions", "object", "Python's, and those of the packages that results depend on"),
    ("git", "object", "`commit` of the code, and whether it was changed since (`dirty`); null: no checkout"),
)
"""Keys of manifest.json: name, type, meaning."""

CURVES = (
    Field("reward", pa.string(), "the reward searched on"),
    Field("search", pa.string(), "registered name of the search"),
    Field("curve", pa.string(), "label of the curve: the search and those settings that tell its curves apart"),
    Field("budget", pa.string(), "the setting that grows along the curve; null: none"),
    Field("budget_value", pa.float64(), "its value; null: none"),
    Field("settings", pa.string(), "all of the search's settings, JSON"),
    Field("derived", pa.bool_(), "whether the point was computed from the samples of a larger best-of-N, and not run"),
    Field("n", pa.int64(), "problems with a value"),
    Field("effective_n", pa.float64(), "how many independent ones they are worth, by condition; null: one condition"),
    Field("unscored", pa.int64(), "problems without a value; no part of n, mean and interval"),
    Field("left_out", pa.int64(), "samples that could not be scored, of those that a derived point was computed from"),
    Field("mean", pa.float64(), "mean reward of the final images"),
    Field("low", pa.float64(), "lower end of the mean's 95 % interval (BCa bootstrap over problems); null: too few"),
    Field("high", pa.float64(), "upper end; null: too few"),
    Field("std", pa.float64(), "standard deviation over problems (n - 1); null: too few"),
    Field("nfe", pa.float64(), "mean denoiser forwards of a trial"),
    Field("flops", pa.float64(), "mean FLOPs of its denoiser forwards; null: not known"),
    Field("device_seconds", pa.float64(), "mean share of the engines' time"),
    Field("wall_seconds", pa.float64(), "mean time from start to end; null: not known"),
    Field("decodes", pa.float64(), "mean images decoded"),
    Field("reward_calls", pa.float64(), "mean rewards computed"),
)
"""Columns of curves.parquet."""


class Row(NamedTuple):
    """A field as a table shows it."""

    name: str
    kind: str
    unit: str
    null: str
    meaning: str

    @property
    def cells(self) -> tuple[str, ...]:
        """Name and type as code, with ``|`` and ``<`` as themselves."""
        return (
            f"`{self.name}`",
            f"`{self.kind}`",
            self.unit,
            self.null,
            self.meaning.replace("|", "\\|").replace("<", "&lt;"),
        )


HEAD = ("field", "type", "unit", "null means", "what it is")


def trials_table() -> str:
    """Every column of a trial's row."""
    fields = (*record.COLUMNS, *record.score_columns([REWARD]))
    rows = (_row(field, "" if field.name in OWN else "failed") for field in fields)
    return _table((*HEAD, "since"), ((*row.cells, str(field.since)) for row, field in zip(rows, fields, strict=True)))


def evaluations_table() -> str:
    """Every column of an evaluation's row."""
    return _table(HEAD, (_row(field).cells for field in record.EVALUATION_COLUMNS))


def curves_table() -> str:
    """Every column of curves.parquet."""
    return _table(HEAD, (_row(field).cells for field in CURVES))


def features_table() -> str:
    """Every column of the features."""
    cells = (_row(field).cells for field in features.columns(1))
    return _table(HEAD, (tuple(cell.replace("[1]", "[F]") for cell in row) for row in cells))


def metrics_table() -> str:
    """Every column of metrics.parquet."""
    return _table(HEAD, (_row(field, units=METRIC_UNITS).cells for field in metrics.FIELDS))


def manifest_table() -> str:
    """Every key of manifest.json."""
    return _table(("key", "type", "what it is"), ((f"`{name}`", kind, doc) for name, kind, doc in MANIFEST))


def _row(field: Field, otherwise: str = "", units: dict[str, str] = UNITS) -> Row:
    kind = type_text(field.type)
    meaning, _, null = field.doc.partition("; null: ")
    unit = "" if kind == "string" else units.get(field.name, "")
    return Row(field.name, kind, unit, null or NULLS.get(field.name, otherwise), meaning)


def type_text(kind: pa.DataType) -> str:
    """An Arrow type as people write it; the names that lists give to their entries say nothing."""
    return re.sub(r"(item|element): ", "", str(kind))


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


TABLES: dict[str, Callable[[], str]] = {
    "trials": trials_table,
    "evaluations": evaluations_table,
    "features": features_table,
    "curves": curves_table,
    "metrics": metrics_table,
    "manifest": manifest_table,
}


def updated(text: str) -> str:
    """A page with its tables as the schemas are now.

    A table stands between ``<!-- fields: NAME -->`` and ``<!-- end -->``.
    """
    for name, table in TABLES.items():
        before, begin, rest = text.partition(f"<!-- fields: {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        text = "".join([before, begin, f"\n{table()}\n\n" if begin else "", end, after])
    return text
