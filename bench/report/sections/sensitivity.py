"""The effect of one setting, where a run has tried several of its values at one cost."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from bench.report.html.analysis import Analysis
from bench.report.html.blocks import Cell, Column, Section, Text
from bench.report.html.cells import RIGHT, cost, shortened, with_interval
from bench.report.html.charts import colours, words
from bench.report.html.figures import File, csv, figure
from bench.report.html.page_data import Page
from bench.report.palette import look
from bench.report.sensitivity_plot import figure_sensitivity

BEST = 5
"""Searches that are shown."""


def section(analysis: Analysis, page: Page) -> Section:
    """The section on the page."""
    title, short = "Sensitivity to settings", "Settings"
    points = shown(analysis)
    if points.empty:
        absent = "No search was run with three values of a setting at one cost."
        return Section("sensitivity", title, short, [], absent)
    note = Text(
        f"Of the {points['search'].nunique()} best searches that were run with three values of a setting.", "note"
    )
    columns = [
        Column("searched on"),
        Column("search"),
        Column("setting"),
        Column("value", RIGHT),
        Column("mean", RIGHT),
        Column("n", RIGHT),
        Column("NFE", RIGHT),
    ]
    best = points.groupby(["reward", "search"])["mean"].transform("max")
    rows = [
        [
            Cell(words(row["reward"])),
            Cell(look(row["search"]).name, colour=colours(look(row["search"]).colour)),
            Cell(row["setting"]),
            Cell(row["value"]),
            with_interval(row, "mean", "low", "high", row["mean"] == best[place]),
            Cell(str(row["n"])),
            Cell(cost(row["nfe"])),
        ]
        for place, row in enumerate(points.to_dict("records"))
    ]
    files = ["sensitivity.png", "sensitivity.svg", "sensitivity.csv"]
    return Section(
        "sensitivity", title, short, [note, shortened(rows, columns, "One setting at one cost", files=files)]
    )


def shown(analysis: Analysis) -> pd.DataFrame:
    """The lines of the best searches."""
    found = analysis.sensitivity
    return found[found["search"].isin(list(dict.fromkeys(found["search"]))[:BEST])].reset_index(drop=True)


def files(analysis: Analysis) -> Iterator[File]:
    """What lies beside the page."""
    if len(points := shown(analysis)):
        yield "sensitivity.csv", csv(analysis.sensitivity)
        yield from figure("sensitivity", figure_sensitivity(points))
