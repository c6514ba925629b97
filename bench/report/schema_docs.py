"""The tables of fields in ``results/README.md``, made from the schemas themselves.

``python -m bench.report.schema_docs`` writes them anew after a schema has changed; a test fails until that is done.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from bench.store import schema as record
from bench.store.files import atomic_write

README = Path(__file__).parents[2] / "results" / "README.md"
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

OWN = {"trial", "search", "settings", "budget", "budget_value", "condition", "label", "seed", "problem_seed", "reward"}
"""Columns of a trial that it has before it is run, and so also if it fails."""

NULLS = {"budget_value": "none", f"score_{REWARD}": "could not be scored"}
"""What null means where the schema's own words do not say it."""

SINCE = {
    **dict.fromkeys(("device", "image_file", "error"), 2),
    **dict.fromkeys(("wall_seconds", "shared_nfe", "samples"), 3),
}
"""Version of the trials' schema that brought a column; the others were in the first."""

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
    ("reward", "string", "the reward searched on"),
    ("search", "string", "registered name of the search"),
    ("curve", "string", "label of the curve: the search and those settings that tell its curves apart"),
    ("budget", "string", "the setting that grows along the curve; null: none"),
    ("budget_value", "double", "its value; null: none"),
    ("settings", "string", "all of the search's settings, JSON"),
    ("derived", "bool", "whether the point was computed from the samples of a larger best-of-N, and not run"),
    ("n", "int64", "problems with a value"),
    ("effective_n", "double", "how many independent ones they are worth, by condition; null: one condition"),
    ("unscored", "int64", "problems without a value; no part of n, mean and interval"),
    ("left_out", "int64", "samples that could not be scored, of those that a derived point was computed from"),
    ("mean", "double", "mean reward of the final images"),
    ("low", "double", "lower end of the mean's 95 % interval (BCa bootstrap over problems); null: too few"),
    ("high", "double", "upper end; null: too few"),
    ("std", "double", "standard deviation over problems (n - 1); null: too few"),
    ("nfe", "double", "mean denoiser forwards of a trial"),
    ("flops", "double", "mean FLOPs of its denoiser forwards; null: not known"),
    ("device_seconds", "double", "mean share of the engines' time"),
    ("wall_seconds", "double", "mean time from start to end; null: not known"),
    ("decodes", "double", "mean images decoded"),
    ("reward_calls", "double", "mean rewards computed"),
)
"""Columns of curves.parquet: name, type, meaning."""


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
    schema = record.schema([REWARD])
    docs = [(field.name, type_text(field.type), field.metadata[b"doc"].decode()) for field in schema]
    rows = [_row(*doc, "" if doc[0] in OWN else "failed") for doc in docs]
    since = (str(SINCE.get(row.name, 1)) for row in rows)
    return _table((*HEAD, "since"), ((*row.cells, version) for row, version in zip(rows, since, strict=True)))


def evaluations_table() -> str:
    """Every column of an evaluation's row."""
    docs = ((name, type_text(kind), doc) for name, kind, doc in record.EVALUATION_COLUMNS)
    return _table(HEAD, (_row(*doc).cells for doc in docs))


def curves_table() -> str:
    """Every column of curves.parquet."""
    return _table(HEAD, (_row(*doc).cells for doc in CURVES))


def manifest_table() -> str:
    """Every key of manifest.json."""
    return _table(("key", "type", "what it is"), ((f"`{name}`", kind, doc) for name, kind, doc in MANIFEST))


def _row(name: str, kind: str, doc: str, otherwise: str = "") -> Row:
    meaning, _, null = doc.partition("; null: ")
    unit = "" if kind == "string" else UNITS.get(name, "")
    return Row(name, kind, unit, null or NULLS.get(name, otherwise), meaning)


def type_text(kind: pa.DataType) -> str:
    """An Arrow type as people write it; the names that lists give to their entries say nothing."""
    return re.sub(r"(item|element): ", "", str(kind))


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


TABLES: dict[str, Callable[[], str]] = {
    "trials": trials_table,
    "evaluations": evaluations_table,
    "curves": curves_table,
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


if __name__ == "__main__":
    atomic_write(README, updated(README.read_text()).encode())
