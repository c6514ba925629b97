"""Metrics of sets of images at every point, from the features that runs store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from bench.report.html.analysis import Analysis
from bench.report.html.blocks import Block, Cell, Column, Section, Table, Text
from bench.report.html.cells import RIGHT, cost, curve_cell, shortened, with_interval
from bench.report.html.charts import words
from bench.report.html.figures import File, csv
from bench.report.html.page_data import Page

FILE = "metrics.csv"


def section(analysis: Analysis, page: Page) -> Section:
    """The section on the page."""
    title, short, found = "Metrics of sets of images", "Metrics", analysis.metrics
    if found.values.empty:
        why = " ".join(found.notes) or "No run computes metrics (setting metrics)."
        return Section("metrics", title, short, [], why)
    notes = [Text(note, "warning") for note in found.notes]
    return Section("metrics", title, short, [_table(analysis, found.values), *notes])


def _table(analysis: Analysis, frame: pd.DataFrame) -> Block:
    columns = [
        Column("metric"),
        Column("searched on"),
        Column("curve"),
        Column("budget", RIGHT),
        Column("images", RIGHT),
        Column("value", RIGHT, "of all images of the point, and its 95 % interval"),
        Column("warning", "wrap"),
    ]
    rows = [_row(analysis, row) for row in frame.to_dict("records")]
    found: Table = shortened(rows, columns, "Every point's images as one set", files=[FILE])
    return found


def _row(analysis: Analysis, row: dict[Any, Any]) -> list[Cell]:
    budget = "–" if pd.isna(row["budget_value"]) else f"{row['budget']} = {cost(row['budget_value'])}"
    return [
        Cell(str(row["metric"])),
        Cell(words(row["reward"])),
        curve_cell(analysis, row["curve"]),
        Cell(budget),
        Cell(f"{row['n']:,}"),
        with_interval(row, "value", "low", "high"),
        Cell("" if pd.isna(row["warning"]) else str(row["warning"])),
    ]


def files(analysis: Analysis) -> Iterator[File]:
    """What lies beside the page; one at a time, since pictures are large."""
    if len(analysis.metrics.values):
        yield FILE, csv(analysis.metrics.values)
