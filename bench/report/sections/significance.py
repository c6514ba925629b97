"""Every search against the baseline."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from bench.report.html.analysis import Analysis
from bench.report.html.blocks import Cell, Column, Section, Table, Text
from bench.report.html.cells import (
    LEVEL,
    RIGHT,
    cost,
    curve_cell,
    effective,
    p_value,
    percent,
    shortened,
    value,
    with_interval,
)
from bench.report.html.charts import words
from bench.report.html.figures import File, csv
from bench.report.html.names import point_name, search_name
from bench.report.html.page_data import Page

CORRECTED = "after Holm's correction over the comparisons of the reward at every budget; bold below 0.05"


def section(analysis: Analysis, page: Page) -> Section:
    """The section on the page."""
    title = f"Against {search_name(analysis.baseline)}"
    if analysis.compared.empty:
        absent = f"There is nothing to compare with {search_name(analysis.baseline)}."
        return Section("significance", title, "Significance", [], absent)
    note = Text(
        "The same problems with the same initial noises; p of a sign-flip permutation test of the paired differences.",
        "note",
    )
    blocks = [note, _table(analysis, largest=True), _table(analysis, largest=False)]
    return Section("significance", title, "Significance", blocks)


def _table(analysis: Analysis, largest: bool) -> Table:
    """Points against the baseline; ``largest``: one for each curve, the one that spends most."""
    name = search_name(analysis.baseline)
    columns = [
        Column("searched on"),
        Column("search"),
        Column("NFE", RIGHT),
        Column("difference", RIGHT, f"search less {name} on the same problems, and its 95 % interval"),
        Column("effect", RIGHT, "Cohen's d of the paired differences: their mean over their standard deviation"),
        Column("p", RIGHT, CORRECTED),
        Column("won", RIGHT, "share of the problems on which the search did better"),
        Column("tied", RIGHT),
        Column("n", RIGHT, "problems that both have scored; in brackets their effective number"),
    ]
    frame = analysis.compared
    if largest:
        keys = ["reward", "search", "settings"]
        shown = pd.MultiIndex.from_frame(analysis.largest[keys])
        frame = frame[pd.MultiIndex.from_frame(frame[keys]).isin(shown) & ~frame["derived"].astype(bool)]
    rows = []
    for row in frame.sort_values(["reward", "difference"], ascending=[True, False]).to_dict("records"):
        text = point_name(row, analysis.name(row["curve"])) + (" (derived)" if row["derived"] else "")
        rows.append(
            [
                Cell(words(row["reward"])),
                curve_cell(analysis, row["curve"], text),
                Cell(cost(row["nfe"])),
                with_interval(row, "difference", "low", "high"),
                Cell(value(row["effect"], 2)),
                Cell(p_value(row["p_holm"]), strong=row["p_holm"] < LEVEL),
                Cell(percent(row["won"])),
                Cell(percent(row["tied"])),
                effective(row),
            ]
        )
    caption = "at its largest budget" if largest else "at every budget"
    files = ["significance.csv"] if largest else []
    return shortened(rows, columns, f"Each search {caption} against {name}", files=files, folded=not largest)


def files(analysis: Analysis) -> Iterator[File]:
    """What lies beside the page; one at a time, since pictures are large."""
    if len(analysis.compared):
        yield "significance.csv", csv(analysis.compared)
