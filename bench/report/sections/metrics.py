"""Metrics of sets of images at every point, from the features that runs store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from bench.report.html.analysis import Analysis
from bench.report.html.blocks import Block, Cell, Column, Section, Sentences, Table, Text
from bench.report.html.cells import RIGHT, cost, curve_cell, shortened, with_interval
from bench.report.html.charts import chart, number, words
from bench.report.html.figures import File, csv, figure
from bench.report.html.page_data import Page
from bench.report.plots import Axis
from bench.report.quality import QualityTable, figure_quality, quality_table

FILE = "metrics.csv"
ORDER = ["metric", "run", "reward", "search", "curve", "budget", "budget_value"]


def section(analysis: Analysis, page: Page) -> Section:
    """The section on the page."""
    title, short, found = "Metrics of sets of images", "Metrics", analysis.metrics
    if found.values.empty:
        why = " ".join(found.notes) or "No run computes metrics (setting metrics)."
        return Section("metrics", title, short, [], why)
    notes = [Text(note, "warning") for note in found.notes]
    done = [
        *((name, f"{what}.") for name, what in found.done.items()),
        *(("Images", f"{each}.") for each in found.drawn),
    ]
    blocks = [*_quality(analysis, page), _table(analysis, found.values), Sentences(done), *notes]
    return Section("metrics", title, short, blocks)


def _quality(analysis: Analysis, page: Page) -> list[Block]:
    """Quality against diversity, where there are metrics of both."""
    table = quality_table(analysis.metrics.values, analysis.metrics.kinds)
    if table is None:
        return []
    caption = (
        "Quality against diversity: each point is all images of a search at a budget; a curve goes on with its budget. "
        "Rewards that judge images one by one can raise quality, and the inception score with it, while images become "
        "alike: then a curve goes towards less diversity."
    )
    names = [f"{_file(reward)}.{kind}" for reward in dict.fromkeys(table.points["reward"]) for kind in ("png", "svg")]
    return [page.chart("quality", _chart(analysis, table), caption, names)]


def _file(reward: str) -> str:
    return f"quality-{reward.replace('_', '-')}"


def _chart(analysis: Analysis, table: QualityTable) -> dict[str, Any]:
    numbers = {label: place for place, label in enumerate(analysis.looks)}
    axes = [Axis(name, words(name), words(name), log=False) for name in table.diversity]
    panels, several = [], table.points["run"].nunique() > 1
    for (run, reward), group in table.points.groupby(["run", "reward"], sort=False):
        points = [
            {
                "c": numbers[row["curve"]],
                "x": {name: number(row[name]) for name in table.diversity},
                "y": {name: _estimate(row, name) for name in table.quality},
                "about": [] if pd.isna(row["budget_value"]) else [[row["budget"], cost(row["budget_value"])]],
            }
            for row in group.to_dict("records")
            if row["curve"] in numbers
        ]
        title = f"searched on {words(str(reward))}{f': {run}' if several else ''}"
        panels.append({"title": title, "points": points})
    return chart(axes, {name: words(name) for name in table.quality}, analysis.looks, panels)


def _estimate(row: dict[Any, Any], name: str) -> dict[str, Any]:
    return {"m": number(row[name]), "l": number(row[f"{name} low"]), "h": number(row[f"{name} high"]), "n": row["n"]}


def _table(analysis: Analysis, frame: pd.DataFrame) -> Block:
    several = frame["run"].nunique() > 1
    columns = [
        *([Column("run")] if several else []),
        Column("metric"),
        Column("searched on"),
        Column("curve"),
        Column("budget", RIGHT),
        Column("images", RIGHT),
        Column("value", RIGHT, "of all images of the point, and its 95 % interval"),
        Column("warning", "wrap"),
    ]
    rows = [
        [*([Cell(row["run"])] if several else []), *_row(analysis, row)]
        for row in frame.sort_values(ORDER, kind="stable").to_dict("records")
    ]
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
    table = quality_table(analysis.metrics.values, analysis.metrics.kinds)
    if table is None:
        return
    for reward in dict.fromkeys(table.points["reward"]):
        yield from figure(_file(reward), figure_quality(table, reward, analysis.looks))
