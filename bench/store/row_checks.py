"""Check rows of trials, which are data from anywhere, as they are read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from bench.store.plain import CONTROL, REPLACEMENT, SURROGATE, plain_values
from bench.store.schema import SCORE
from tts.errors import DataError
from tts.rewards.base import LARGEST_SCORE

LARGEST_COUNT = 10**12
"""Sums over a run's rows stay whole numbers of 64 bits."""

LONGEST_NAME = 20_000
"""Letters of what names a point of a curve."""
LONGEST_TEXT = 10_000
"""Letters of a prompt or an error that are shown."""

NEVER_NULL = ("trial", "search", "settings", "condition", "label", "seed", "problem_seed", "reward")
SHOWN = ("search", "budget", "label", "error", "device")
"""Texts that are printed as they are."""

COUNTS: Mapping[str, tuple[int, int]] = {
    **dict.fromkeys(("seed", "decodes", "reward_calls", "shared_nfe"), (0, LARGEST_COUNT)),
    "nfe": (1, LARGEST_COUNT),  # costs are compared by their ratio; a failed trial has none
    "problem_seed": (0, 2**63 - 1),
}
NUMBERS: Mapping[str, tuple[float, float]] = {
    **dict.fromkeys(("device_seconds", "wall_seconds"), (0.0, float(LARGEST_COUNT))),
    **dict.fromkeys(("value", "budget_value"), (-LARGEST_SCORE, LARGEST_SCORE)),
}

Rows = TypeVar("Rows", pa.Table, pa.RecordBatch)


def check_columns(names: list[str], where: object) -> None:
    """Refuse columns of rewards whose names are no identifiers, since they become names of files.

    Raises:
        DataError: there is one.
    """
    for name in names:
        if name.startswith(SCORE) and not name.removeprefix(SCORE).isidentifier():
            raise DataError(f"{where}: a column holds a reward called {name[:100]!r}, which is no name")


def checked_rows(rows: Rows, where: object) -> Rows:
    """Rows that can be computed with, and whose texts can be printed: control characters are replaced.

    Args:
        rows: any of the columns of a run's trials, with the types of the schema.
        where: the run, for messages.

    Raises:
        DataError: a value is none that a row has.
        ArrowInvalid: a text is no UTF-8.
    """
    rows.validate(full=True)  # Parquet may hold texts that are none
    names = rows.schema.names
    for name in names:
        if name in NEVER_NULL and rows[name].null_count:
            raise DataError(f"{where}: a row has no {name}")
        if limits := _limits(name):
            _check_limits(name, rows[name], limits, where)
    if "samples" in names:
        _check_limits("samples", pc.list_flatten(rows["samples"]), NUMBERS["value"], where)
    for name, (is_right, words) in TEXTS.items():
        for text in pc.unique(rows[name]).to_pylist() if name in names else ():
            if not is_right(text):
                raise DataError(f"{where}: a row has the {name} {text[:100]!r}, which is {words}")
    for name in ("search", "settings", "budget", "device"):
        if name in names and (pc.max(pc.utf8_length(rows[name])).as_py() or 0) > LONGEST_NAME:
            raise DataError(f"{where}: {name} of a row has more than {LONGEST_NAME} letters")
    for name in ("label", "error"):
        if name in names and (pc.max(pc.utf8_length(rows[name])).as_py() or 0) > LONGEST_TEXT:
            cut = pc.utf8_slice_codeunits(rows[name], 0, LONGEST_TEXT)
            rows = rows.set_column(names.index(name), rows.schema.field(name), cut)
    for name in SHOWN:
        if name in names and pc.any(pc.match_substring_regex(rows[name], CONTROL)).as_py():
            shown = pc.replace_substring_regex(rows[name], CONTROL, REPLACEMENT)
            rows = rows.set_column(names.index(name), rows.schema.field(name), shown)
    return rows


def _limits(name: str) -> tuple[float, float] | None:
    return NUMBERS["value"] if name.startswith(SCORE) else COUNTS.get(name) or NUMBERS.get(name)


def _check_limits(name: str, values: pa.Array | pa.ChunkedArray, limits: tuple[float, float], where: object) -> None:
    found = pc.min_max(values).as_py()
    finite = not pa.types.is_floating(values.type) or pc.all(pc.is_finite(values), min_count=0).as_py()
    if not finite or (found["min"] is not None and not limits[0] <= found["min"] <= found["max"] <= limits[1]):
        raise DataError(f"{where}: {name} of a row is no number from {limits[0]:g} to {limits[1]:g}")


def _is_key(text: str) -> bool:
    return len(text) <= 32 and text.isascii() and text.replace("-", "").replace("_", "").isalnum()


def _is_mapping(text: str) -> bool:
    try:
        value = json.loads(text)
        return isinstance(value, dict) and json.dumps(value, allow_nan=False) != "" and plain_values(value) == value
    except (ValueError, RecursionError):
        return False


def _is_condition(text: str) -> bool:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return False
    if isinstance(value, str):
        return re.search(SURROGATE, value) is None
    return type(value) is int and abs(value) < 2**63


TEXTS: Mapping[str, tuple[Callable[[str], bool], str]] = {
    "trial": (_is_key, "no identity"),
    "reward": (str.isidentifier, "no name"),
    "settings": (_is_mapping, "no JSON mapping of plain values"),
    "condition": (_is_condition, "no JSON number or text"),
}
