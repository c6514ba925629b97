"""The output of ``tts-bench compare``: tables and sentences for people, plain values for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from bench.report.compare import SIGNIFICANCE, Column, Comparison, Point, Verdict
from bench.store.manifest_diff import Difference
from bench.store.plain import finite
from tts.settings import canonical

ROWS, LETTERS = 20, 70
"""Rows of a table and letters of a cell that are shown; the JSON has them all."""


def render(comparison: Comparison) -> Iterator[RenderableType]:
    """Tables of the differences, then their meaning, a line each."""
    yield Text(f"A  {comparison.runs[0]}\nB  {comparison.runs[1]}\n", overflow="fold")
    if comparison.settings:
        yield _settings(comparison.settings)
    if comparison.missing:
        yield _missing(comparison)
    if comparison.different:
        yield _columns(comparison.columns)
    if comparison.points:
        yield _points(comparison.points)
    yield Text("\n".join(words(comparison)))


def _table(title: str, *columns: str, numbers: int) -> Table:
    """An empty table; its last columns hold numbers."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for place, name in enumerate(columns):
        is_number = place >= len(columns) - numbers
        table.add_column(name, justify="right" if is_number else "left", overflow="fold", no_wrap=is_number)
    return table


def _fill(table: Table, rows: Sequence[Sequence[str]]) -> Table:
    for row in rows[:ROWS]:
        table.add_row(*(Text(cell) for cell in row))
    if len(rows) > ROWS:
        table.caption = f"and {len(rows) - ROWS} more; --json has them all"
    return table


def _settings(differences: list[Difference]) -> Table:
    table = _table("settings that differ", "setting", "A", "B", numbers=0)
    return _fill(table, [(name, _value(a), _value(b)) for name, a, b in differences])


def _value(value: Any) -> str:
    text = "-" if value is None else value if isinstance(value, str) else canonical(value)
    return text if len(text) <= LETTERS else f"{text[: LETTERS - 1]}…"


def _missing(comparison: Comparison) -> Table:
    table = _table("trials that one run lacks", "reward", "search", "settings", "only in A", "only in B", numbers=2)
    rows = [(m.reward, m.search, _value(m.settings), f"{m.only_a:,}", f"{m.only_b:,}") for m in comparison.missing]
    return _fill(table, rows)


def _columns(columns: list[Column]) -> Table:
    table = _table("common trials", "column", "compared", "different", "largest difference", numbers=3)
    return _fill(table, [(c.name, f"{c.compared:,}", f"{c.different:,}", _number(c.largest)) for c in columns])


def _points(points: list[Point]) -> Table:
    table = _table(
        "B less A on the same problems, surest first",
        *("reward", "search", "settings", "of", "n", "A", "mean difference [95 %]", "largest", "p (Holm)"),
        numbers=5,
    )
    ordered = sorted(points, key=lambda point: (point.p, -abs(point.mean)))
    return _fill(table, [_cells(point) for point in ordered])


def _cells(point: Point) -> tuple[str, ...]:
    interval = "" if math.isnan(point.low) else f" [{_number(point.low)}, {_number(point.high)}]"
    return (
        *(point.reward, point.search, _value(point.settings), point.measure, f"{point.n:,}", _number(point.mean_a)),
        *(f"{point.mean:+.3g}{interval}", _number(point.largest), _number(point.p)),
    )


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3g}"


def words(comparison: Comparison) -> list[str]:
    """The findings in sentences, the verdict last."""
    return [*_of_trials(comparison), *_of_columns(comparison), *_of_noise(comparison), _conclusion(comparison)]


def _of_trials(comparison: Comparison) -> Iterator[str]:
    a, b, common = *comparison.trials, comparison.common
    if comparison.same_trials:
        yield f"Both hold the same {common:,} trials."
    else:
        only = f"{a - common:,} only in A, {b - common:,} only in B"
        yield f"A holds {a:,} trials, B {b:,}: {common:,} in common, {only}."
    if common and not comparison.same_identities:
        yield (
            "Their identities differ (see the settings above, or another version of the code); paired by search, "
            "settings, reward, condition and problem seed."
        )


def _of_columns(comparison: Comparison) -> Iterator[str]:
    for run, names in (("A", comparison.only_a), ("B", comparison.only_b)):
        if names:
            yield f"Only {run} has the column{'s' if len(names) > 1 else ''} {', '.join(names)}; not compared."
    for column in comparison.columns:
        lacking = comparison.common - column.compared
        if column.name == "image" and lacking:
            yield f"{lacking:,} images were not kept in both and not compared."


def _of_noise(comparison: Comparison) -> Iterator[str]:
    if not comparison.points:
        return
    beyond = comparison.beyond
    yield (
        f"{len(comparison.points)} of {comparison.tested} points (a search with its settings, for a reward; its value, "
        f"its NFE) differ, {len(beyond)} of them beyond noise"
        + (f" and by more than {comparison.tolerance:g} on average" if comparison.tolerance else "")
        + f" (paired test, p < {SIGNIFICANCE:g} after Holm's correction)."
    )
    if comparison.too_few:
        most = max(point.n for point in comparison.too_few)
        yield (
            f"{len(comparison.too_few)} of them have too few problems ({most} or fewer) for any difference to be "
            "beyond noise among so many points: that they are within noise says nothing."
        )


def _conclusion(comparison: Comparison) -> str:
    verdict, common = comparison.verdict, comparison.common
    if verdict is Verdict.NOTHING:
        return "Nothing in common: these are runs of different studies."
    if verdict is Verdict.IDENTICAL:
        return f"Identical: all {common:,} common trials agree in every outcome."
    return f"{verdict.value.capitalize()}: {comparison.different:,} of {common:,} common trials differ."


def to_json(comparison: Comparison, code: int) -> str:
    """The whole comparison as JSON for programs; missing numbers are null."""
    values = {
        "verdict": comparison.verdict.value,
        "same_trials": comparison.same_trials,
        "exit_code": code,
        "words": words(comparison),
        **asdict(comparison),
        "settings": [difference._asdict() for difference in comparison.settings],
    }
    return json.dumps(finite(values), indent=2, ensure_ascii=False, allow_nan=False)
