"""What a doubling of the compute brings, and where curves level off."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from bench.report.html.analysis import Analysis
from bench.report.html.blocks import Block, Cell, Column, Section, Table
from bench.report.html.cells import (
    RIGHT,
    curve_cell,
    shortened,
    value,
    with_interval,
)
from bench.report.html.charts import line_chart, words
from bench.report.html.figures import File, csv, figure, is_drawn
from bench.report.html.page_data import Page
from bench.report.plots import NFE, figure_curves


def section(analysis: Analysis, page: Page) -> Section:
    """The section on the page."""
    title, short = "Diminishing returns", "Returns"
    if analysis.returns.empty:
        return Section("returns", title, short, [], "No curve has two points.")
    caption = "What a doubling of the denoiser calls brings, between a point and the one before it; 95 % intervals."
    gains = doublings(analysis)
    names = [*(["returns.png", "returns.svg"] if is_drawn(gains) else []), "returns.csv"]
    data = line_chart(gains, NFE, "gain per doubling", analysis.looks)
    blocks: list[Block] = [page.chart("returns", data, caption, names)]
    if len(analysis.saturation):
        blocks.append(_saturation(analysis))
    return Section("returns", title, short, blocks)


def doublings(analysis: Analysis) -> pd.DataFrame:
    """Gains per doubling as curves: ``nfe`` is the cost that they lead to."""
    names = {"to_cost": "nfe", "per_doubling": "mean"}
    return analysis.returns[analysis.returns["per_doubling"].notna()].rename(columns=names)


def _saturation(analysis: Analysis) -> Table:
    """Fitted ceilings."""
    columns = [
        Column("searched on"),
        Column("curve"),
        Column("points", RIGHT),
        Column("ceiling", RIGHT, "a of the fit a - b c^-k, and its 95 % interval"),
        Column("exponent", RIGHT, "k of the fit, and its 95 % interval"),
        Column("reached", RIGHT, "mean at the largest budget"),
        Column("fits", "wrap"),
    ]
    reached = analysis.curves.groupby(["reward", "curve"])["mean"].last()
    rows = [
        [
            Cell(words(row["reward"])),
            curve_cell(analysis, row["curve"]),
            Cell(str(row["points"])),
            with_interval(row, "a", "a_low", "a_high") if row["fits"] else Cell("–"),
            with_interval(row, "k", "k_low", "k_high") if row["fits"] else Cell("–"),
            Cell(value(reached.get((row["reward"], row["curve"])))),
            Cell("yes" if row["fits"] else row["reason"]),
        ]
        for row in analysis.saturation.to_dict("records")
    ]
    folded = not analysis.saturation["fits"].any()
    return shortened(rows, columns, "Fitted curves a − b·NFE^−k", files=["saturation.csv"], folded=folded)


def files(analysis: Analysis) -> Iterator[File]:
    """What lies beside the page; one at a time, since pictures are large."""
    if len(analysis.saturation):
        yield "saturation.csv", csv(analysis.saturation)
    if analysis.returns.empty:
        return
    yield "returns.csv", csv(analysis.returns)
    title = "What a doubling of the compute brings"
    gains = doublings(analysis)
    if is_drawn(gains):
        yield from figure("returns", figure_curves(gains, NFE, title, "gain per doubling"))
