"""The course of a trial: rewards, gains and wins by step."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from bench.report.html.analysis import POINT, Analysis
from bench.report.html.blocks import Block, Cell, Column, Section, Table
from bench.report.html.cells import (
    RIGHT,
    curve_cell,
    percent,
    shortened,
)
from bench.report.html.charts import line_chart, words
from bench.report.html.figures import File, csv, figure, is_drawn
from bench.report.html.page_data import Page
from bench.report.plots import NFE, Axis, figure_curves


def section(analysis: Analysis, page: Page) -> Section:
    """The section on the page."""
    title, short = "Inside a trial", "Trace"
    found = analysis.trace
    if found is None:
        absent = "There is no trace of single evaluations; runs with trace: true have one."
        return Section("trace", title, short, [], absent)
    steps = step_axis(analysis.levels)
    so_far = page.chart(
        "so-far",
        line_chart(found.so_far, NFE, "best reward so far", analysis.looks, bare=True),
        "Best reward of the (predicted) images so far against denoiser calls, inside the trials of each search at its "
        "largest budget; mean over trials and its 95 % interval.",
        _names("so-far", found.so_far, NFE),
    )
    gain = page.chart(
        "gain",
        line_chart(found.gain, steps, "rise of the best reward", analysis.looks),
        "Where in the trajectory the gain arises: rise of the best reward so far during each step. Whole trajectories "
        "(best of N) count at their start.",
        _names("gain", found.gain, steps),
    )
    blocks: list[Block] = [so_far, gain]
    both = local_share(found.wins)
    if len(both):
        blocks.append(
            page.chart(
                "wins",
                line_chart(both, steps, "share of wins", analysis.looks),
                "How often a moved (local) noise wins rather than a fresh (global) one, by step; n counts wins.",
                _names("wins-by-step", both, steps),
            )
        )
    if len(found.all_wins):
        mixed = found.all_wins.groupby(POINT)["kind"].transform("nunique") == 2
        blocks.append(_wins(analysis, found.all_wins[mixed] if mixed.any() else found.all_wins))
    return Section("trace", title, short, blocks)


def _names(name: str, frame: pd.DataFrame, axis: Axis) -> list[str]:
    """The files of a chart: the curves, and their pictures where there is something to draw."""
    return [f"trace-{name}.{kind}" for kind in (["png", "svg", "csv"] if is_drawn(frame, axis) else ["csv"])]


def step_axis(levels: list[float]) -> Axis:
    """Steps of the trajectory, named by their noise level where that is known."""
    if len(levels) < 2:  # the last one is after the last step
        return Axis("step", "steps done before", "steps done", log=False)
    ticks = {step: f"{level:.3g}" for step, level in enumerate(levels[:-1])}
    return Axis("step", "noise level σ before the step", "σ", log=False, ticks=ticks)


def local_share(wins: pd.DataFrame) -> pd.DataFrame:
    """Local noises' share of the wins of each step, of searches that use both kinds; ``mean`` is the share."""
    both = wins[wins.groupby(POINT)["kind"].transform("nunique") == 2]
    total = both.groupby([*POINT, "curve", "step"])["wins"].transform("sum")
    frame = both.assign(n=total, mean=both["share"], low=float("nan"), high=float("nan"))
    return frame[(frame["kind"] == "local") & (total > 0)]


def _wins(analysis: Analysis, frame: pd.DataFrame) -> Table:
    """How often fresh and moved noises win, over all steps."""
    columns = [
        Column("searched on"),
        Column("search"),
        Column("noise", help="global: a fresh one; local: the best one so far, moved a little"),
        Column("candidates", RIGHT),
        Column("wins", RIGHT, "the search went on from it, or it is the result"),
        Column("wins a candidate", RIGHT),
        Column("of all wins", RIGHT),
    ]
    rows = [
        [
            Cell(words(row["reward"])),
            curve_cell(analysis, row["curve"]),
            Cell(row["kind"]),
            Cell(f"{row['candidates']:,}"),
            Cell(f"{row['wins']:,}"),
            Cell(f"{100 * row['rate']:.1f} %"),
            Cell(percent(row["share"])),
        ]
        for row in frame.to_dict("records")
    ]
    return shortened(rows, columns, "Which noises win, over all steps", files=["trace-wins.csv"])


def files(analysis: Analysis) -> Iterator[File]:
    """What lies beside the page; one at a time, since pictures are large."""
    found = analysis.trace
    if found is None:
        return
    steps = step_axis(analysis.levels)
    yield from _traced("so-far", found.so_far, NFE, "Inside a trial", "best reward so far", markers=False)
    yield from _traced("gain", found.gain, steps, "Where the gain arises", "rise of the best reward")
    shares = local_share(found.wins)
    if len(shares):
        title = "How often a moved noise wins"
        yield from _traced("wins-by-step", shares, steps, title, "local share of wins", counted="win")
    if len(found.all_wins):
        yield "trace-wins.csv", csv(found.all_wins)


def _traced(
    name: str, frame: pd.DataFrame, axis: Axis, title: str, value: str, markers: bool = True, counted: str = "problem"
) -> Iterator[File]:
    yield f"trace-{name}.csv", csv(frame)
    if is_drawn(frame, axis):
        yield from figure(f"trace-{name}", figure_curves(frame, axis, title, value, markers, counted))
