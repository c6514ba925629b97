"""Reward against compute."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from bench.report.emphasis import is_crowded
from bench.report.html.analysis import SEARCHED, Analysis
from bench.report.html.blocks import Block, Cell, Column, Section, Table
from bench.report.html.cells import (
    NUMBER,
    RIGHT,
    cost,
    curve_cell,
    effective,
    shortened,
    with_interval,
)
from bench.report.html.charts import AXES, axes, by_group, curve_chart, words
from bench.report.html.figures import File, csv, figure, is_drawn
from bench.report.html.names import point_name
from bench.report.html.page_data import Page
from bench.report.multiples import figure_groups
from bench.report.plots import NFE, figure_curves


def section(analysis: Analysis, page: Page) -> Section:
    """The section on the page."""
    kinds = axes(analysis.curves)
    data = curve_chart(analysis.scored, analysis.looks, analysis.about, kinds)
    names = [f"curves-{axis.column}" for axis in kinds if is_drawn(analysis.curves, axis)]
    names += [f"curves-on-{key}" for key, frame in analysis.scored.items() if key != SEARCHED and is_drawn(frame)]
    names = [name.replace("_", "-") for name in names]
    caption = (
        f"Mean of the final images' reward with its 95 % interval over {analysis.over} (BCa bootstrap). Touch a point, "
        "or reach the panel by the tab key and go on with the arrow keys. Hollow points on a filled curve were not "
        "run: they are best of k, estimated from the N samples of best-of-N."
    )
    crowded = is_crowded(analysis.curves)
    if crowded:
        caption += " The best three of each panel are in front; a grey curve has its colour when it is touched."
    files = [f"{name}.{kind}" for name in names for kind in ("png", "svg")]
    charts: list[Block] = [page.chart("curves", data, caption, files)]
    if crowded:
        drawn = [reward for reward in analysis.rewards if is_drawn(_searched_on(analysis, reward))]
        groups = [f"{_of_groups(reward)}.{kind}" for reward in drawn for kind in ("png", "svg")]
        again = "The same curves, each group of searches in front in a panel of its own."
        charts.append(page.chart("groups", by_group(data, analysis.looks), again, groups))
    return Section("curves", "Reward against compute", "Curves", [*charts, _points(analysis)])


def _of_groups(reward: str) -> str:
    return f"groups-{reward.replace('_', '-')}"


def _searched_on(analysis: Analysis, reward: str) -> pd.DataFrame:
    return analysis.curves[analysis.curves["reward"] == reward]


def _points(analysis: Analysis) -> Table:
    """Every point of every curve."""
    columns = [
        Column("searched on"),
        Column("search"),
        Column("mean", RIGHT, NUMBER),
        Column("n", RIGHT, "problems scored; in brackets their effective number"),
        Column("unscored", RIGHT),
        *(Column(axis.short, RIGHT) for axis in AXES),
    ]
    best = analysis.curves.groupby("reward")["mean"].max()
    rows = []
    for row in analysis.curves.to_dict("records"):
        name = point_name(row, analysis.name(row["curve"])) + (" (derived)" if row["derived"] else "")
        mean = with_interval(row, "mean", "low", "high", row["mean"] == best[row["reward"]])
        rows.append(
            [
                Cell(words(row["reward"])),
                curve_cell(analysis, row["curve"], name),
                mean,
                effective(row),
                Cell(str(row["unscored"])),
                *(Cell(cost(row[axis.column])) for axis in AXES),
            ]
        )
    return shortened(rows, columns, "All points of the curves", files=["curves.csv"], folded=True)


def files(analysis: Analysis) -> Iterator[File]:
    """What lies beside the page; one at a time, since pictures are large."""
    scored = [
        frame.assign(scored_on=frame["reward"] if name == SEARCHED else name) for name, frame in analysis.scored.items()
    ]
    yield "curves.csv", csv(pd.concat(scored).drop_duplicates(["reward", "search", "settings", "budget", "scored_on"]))
    for axis in axes(analysis.curves):
        if is_drawn(analysis.curves, axis):
            title = f"Reward against {axis.short}"
            yield from figure(f"curves-{axis.column.replace('_', '-')}", figure_curves(analysis.curves, axis, title))
    for reward in analysis.rewards if is_crowded(analysis.curves) else []:
        title = f"Searched on {words(reward)}"
        mine = _searched_on(analysis, reward)
        if is_drawn(mine):
            yield from figure(_of_groups(reward), figure_groups(mine, NFE, title))
    for name, frame in analysis.scored.items():
        if name != SEARCHED and is_drawn(frame):
            title = f"Scored on {words(name)}: searched on ..."
            value = f"mean {words(name)}, 95 % interval"
            yield from figure(f"curves-on-{name.replace('_', '-')}", figure_curves(frame, NFE, title, value))
