"""The number of a published protocol, made as it demands, and what must be reported with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from bench.report.done import images_drawn
from bench.report.html.analysis import Analysis
from bench.report.html.blocks import Block, Cell, Column, Section, Sentences, Table, Text
from bench.report.html.cells import RIGHT, cost, curve_cell, shortened, with_interval
from bench.report.html.charts import words
from bench.report.html.figures import File, csv
from bench.report.html.page_data import Page
from bench.report.protocols import Stated, stated
from bench.report.runs import Run
from bench.statistics.curves import relabelled
from bench.statistics.protocol_numbers import ALL

FILE = "protocol.csv"
ABSENT = "No run follows a published protocol (setting protocol; tts-bench protocol list shows them)."


def section(analysis: Analysis, page: Page) -> Section:
    """The section on the page."""
    blocks = [block for run in analysis.runs for block in _of_run(analysis, run)]
    return Section("protocol", "Protocol", "Protocol", blocks, "" if blocks else ABSENT)


def _of_run(analysis: Analysis, run: Run) -> list[Block]:
    found = stated(run.manifest)
    if found is None:
        return []
    numbers = relabelled(found.numbers(run.finished), analysis.labels)
    statement = Text(f"{run.output}: {found.statement}.", "" if found.same else "warning")
    return [statement, _table(analysis, found, numbers), Sentences(_said(analysis, found, run, numbers))]


def _table(analysis: Analysis, found: Stated, numbers: pd.DataFrame) -> Block:
    groups = list(dict.fromkeys(name for name in numbers["group"] if name != ALL))
    overall = [ALL] if (numbers["group"] == ALL).any() else []
    about = f"{found.protocol.title} ({found.protocol.source}), with 95 % intervals over prompts"
    columns = [
        Column("searched on"),
        Column("curve"),
        Column("score"),
        Column("forwards", RIGHT),
        Column("images", RIGHT, "that are scored"),
        Column("not scored", RIGHT),
        *(Column(_title(found, name), RIGHT) for name in (*overall, *groups)),
    ]
    keys = ["reward", "search", "settings", "budget_value", "curve", "nfe", *([] if not overall else ["score"])]
    points = numbers.groupby(keys, dropna=False, sort=False)
    rows = [_row(analysis, point, [*overall, *groups]) for _, point in points]
    table: Table = shortened(rows, columns, about, files=[FILE])
    return table


def _title(found: Stated, name: str) -> str:
    if name != ALL:
        return name.replace("_", " ")
    return "mean of groups" if found.protocol.number == "groups" else "number"


def _row(analysis: Analysis, point: pd.DataFrame, names: list[str]) -> list[Cell]:
    rows: dict[str, dict[Any, Any]] = {str(row["group"]): row for row in point.to_dict("records")}
    whole = rows.get(ALL)
    first = whole or next(iter(rows.values()))
    counted = [whole] if whole else list(rows.values())
    scores = dict.fromkeys(str(row["score"]) for row in rows.values() if row["score"] is not None)
    return [
        Cell(words(first["reward"])),
        curve_cell(analysis, first["curve"]),
        Cell(", ".join(words(name) for name in scores) or "–"),
        Cell(cost(first["nfe"])),
        Cell(f"{sum(row['n'] for row in counted):,}"),
        Cell(f"{sum(row['unscored'] for row in counted):,}"),
        *(_number(rows.get(name)) for name in names),
    ]


def _number(row: dict[Any, Any] | None) -> Cell:
    return Cell("–") if row is None else with_interval(row, "value", "low", "high", strong=row["group"] == ALL)


def _said(analysis: Analysis, found: Stated, run: Run, numbers: pd.DataFrame) -> list[tuple[str, str]]:
    """Notes that belong to the number: the protocol's own, and those on this run."""
    published, wanted = found.protocol, found.protocol.prompts * found.protocol.images
    lines = [("Protocol", line) for line in published.said]
    lines.append(("Images", f"{images_drawn(run.output)}."))
    own = sorted(set(found.scorers.values()) & set(analysis.rewards))
    if own:
        lines.append(
            (
                "Search",
                f"Searches on {words(own[0])} were on the protocol's own scorer: what they gain may be its errors.",
            )
        )
    lines.append(
        (
            "Search",
            "Published figures are of plain samples, which naive has here; others spend the forwards beside them.",
        )
    )
    if found.same and len(numbers) and found.protocol.number != "none":
        whole = numbers[numbers["group"] == ALL]
        short = int(((whole["n"] + whole["unscored"]) < wanted).sum())
        if short:
            lines.append(("Images", f"{short} points have fewer than {wanted:,} images: the run is not finished."))
    return lines


def files(analysis: Analysis) -> Iterator[File]:
    """What lies beside the page; one at a time, since pictures are large."""
    frames = []
    for run in analysis.runs:
        found = stated(run.manifest)
        if found is not None:
            numbers = relabelled(found.numbers(run.finished), analysis.labels)
            frames.append(numbers.assign(run=str(run.output), protocol=found.statement))
    if frames:
        yield FILE, csv(pd.concat(frames, ignore_index=True))
