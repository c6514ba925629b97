"""Who wins at equal compute."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from bench.report.html.analysis import Analysis
from bench.report.html.blocks import Block, Cell, Column, Section, Table
from bench.report.html.cells import (
    HOLM,
    LEVEL,
    NUMBER,
    RIGHT,
    cost,
    curve_cell,
    p_value,
    shortened,
    with_interval,
)
from bench.report.html.charts import AXES, words
from bench.report.html.figures import File, csv
from bench.report.html.names import search_name
from bench.report.html.page_data import Page


def section(analysis: Analysis, page: Page) -> Section:
    """The section on the page."""
    title, short = "At equal compute", "Equal compute"
    frame = analysis.matched
    if frame.empty:
        return Section(
            "matched", title, short, [], "No two curves can be compared at the same number of denoiser calls."
        )
    blocks: list[Block] = [_table(analysis, frame, "NFE", "matched-nfe.csv")]
    for axis in AXES:
        if axis.column in analysis.matched_times:
            times = analysis.matched_times[axis.column]
            file = f"matched-{axis.column.replace('_', '-')}.csv"
            blocks.append(_table(analysis, times, axis.short, file, folded=len(blocks) > 1))
    return Section("matched", title, short, blocks)


def _table(analysis: Analysis, frame: pd.DataFrame, unit: str, file: str, folded: bool = False) -> Table:
    """Who wins at equal cost."""
    columns = [
        Column("searched on"),
        Column(
            f"at {unit}",
            RIGHT,
            "where a curve has no point, it is read between two of its points; past its last one it stays at that, "
            "which is marked by its own cost",
        ),
        Column("highest mean", help="among the curves that have begun by this cost"),
        Column("mean", RIGHT, NUMBER),
        Column("next"),
        Column("lead", RIGHT, "paired difference on the same problems"),
        Column("p", RIGHT, HOLM),
        Column(f"gain over {search_name(analysis.baseline)}", RIGHT, "paired difference on the same problems"),
        Column("of", RIGHT, "curves compared"),
    ]
    rows = [
        [
            Cell(words(row["reward"])),
            Cell(cost(row["at"])),
            _curve(analysis, row, "winner"),
            with_interval(row, "mean", "low", "high"),
            _curve(analysis, row, "runner_up"),
            with_interval(row, "lead", "lead_low", "lead_high"),
            Cell(p_value(row["lead_p_holm"]), strong=row["lead_p_holm"] < LEVEL),
            with_interval(row, "gain", "gain_low", "gain_high"),
            Cell(str(row["curves"])),
        ]
        for row in frame.to_dict("records")
    ]
    return shortened(rows, columns, f"The best search at equal {unit}", files=[file], folded=folded)


def _curve(analysis: Analysis, row: dict[Any, Any], who: str) -> Cell:
    """A curve's name, with what it has spent where its last point is carried forward."""
    name, spent = row[who], row[f"{who}_spent"]
    return curve_cell(analysis, name, f"{analysis.name(name)} (with {cost(spent)})" if spent < row["at"] else None)


def files(analysis: Analysis) -> Iterator[File]:
    """What lies beside the page; one at a time, since pictures are large."""
    tables = {"nfe": analysis.matched, **analysis.matched_times}
    for name, frame in tables.items():
        if len(frame):
            yield f"matched-{name.replace('_', '-')}.csv", csv(frame)
