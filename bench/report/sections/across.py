"""Models against each other at equal compute, each with its searches: the best choice at each cost."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd

from bench.report.across_plot import figure_across
from bench.report.html.across import AcrossModels, CostAxis
from bench.report.html.analysis import SEARCHED
from bench.report.html.blocks import Block, Cell, Column, Part, Section, Sentences, Table, Text
from bench.report.html.cells import HOLM, LEVEL, RIGHT, cost, measured, p_value, percent, shortened, with_interval
from bench.report.html.charts import chart, colours, estimate, number, words
from bench.report.html.figures import File, csv, figure, is_drawn
from bench.report.html.page_data import Page

TITLE = "Across models"


def part(across: AcrossModels, number: int, page: Page) -> Part:
    """A part of the page with this section alone.

    Args:
        number: of the part among those of its kind, from 0.
    """
    name = f"across{number + 1 if number else ''}"
    return Part(f"part-{name}", TITLE, [Section(name, TITLE, "Across models", _blocks(across, page))])


def _blocks(across: AcrossModels, page: Page) -> list[Block]:
    if not across.axes:
        return [Text("No cost is known for all of these runs.", "warning"), *_missing(across)]
    caption = (
        "Every search on every model. Where a model was run with several numbers of steps, its plain samples are a "
        "curve of their own: the same budget spent on steps, without any search."
    )
    pictures = ["across.png", "across.svg"] if is_drawn(across.points[SEARCHED]) else []
    blocks: list[Block] = [page.chart("across", _chart(across), caption, [*pictures, "across.csv"])]
    blocks += [Sentences(_sentences(across)), *_missing(across)]
    for score in across.scores:
        for axis in across.axes:
            blocks += _tables(across, score, axis, folded=score != SEARCHED or axis is not across.axes[0])
    return blocks


def _chart(across: AcrossModels) -> dict[str, Any]:
    numbers = {label: place for place, label in enumerate(across.looks)}
    estimates = {
        score: {_key(row): estimate(row) for row in frame.to_dict("records")} for score, frame in across.points.items()
    }
    first, panels = across.front(SEARCHED), []
    for reward, group in across.points[SEARCHED].groupby("reward", sort=False):
        points = [_point(across, row, numbers, estimates) for row in group.to_dict("records")]
        front = sorted({numbers[label] for axis in across.axes for label in first.get((str(reward), axis.column), ())})
        panels.append({"title": f"searched on {words(str(reward))}", "points": points, "front": front})
    names = {score: "the reward searched on" if score == SEARCHED else words(score) for score in across.scores}
    return chart([axis.axis for axis in across.axes], names, across.looks, panels)


def _key(row: dict[Any, Any]) -> tuple[Any, ...]:
    return row["reward"], row["curve"], row["settings"], row["derived"]


def _point(
    across: AcrossModels, row: dict[Any, Any], numbers: dict[str, int], estimates: dict[str, dict[Any, Any]]
) -> dict[str, Any]:
    budget = [] if not isinstance(row["budget"], str) else [[row["budget"], f"{row['budget_value']:g}"]]
    point = {
        "c": numbers[row["curve"]],
        "x": {axis.column: number(row[axis.column]) for axis in across.axes},
        "y": {score: found[_key(row)] for score, found in estimates.items() if _key(row) in found},
        "about": [["model", row["model"]], *budget],
    }
    return {**point, "hollow": True} if row["derived"] else point


def _sentences(across: AcrossModels) -> list[tuple[str, str]]:
    """The frontier in words, for the reward searched on and the first cost that is known."""
    axis = across.axes[0]
    frame = across.frontier[(across.frontier["scored_on"] == SEARCHED) & (across.frontier["axis"] == axis.column)]
    said = []
    for reward, group in frame[frame["curves"] > 1].groupby("reward", sort=False):
        stretches: list[list[dict[Any, Any]]] = []
        for row in group.sort_values("at").to_dict("records"):
            if stretches and stretches[-1][0]["winner"] == row["winner"]:
                stretches[-1].append(row)
            else:
                stretches.append([row])
        about = f"Compute-optimal for {words(str(reward))}"
        said.append((about, f"{'; '.join(_stretch(across, rows, axis) for rows in stretches)}."))
    return said


def _stretch(across: AcrossModels, rows: list[dict[Any, Any]], axis: CostAxis) -> str:
    first, last = rows[0], rows[-1]
    ends = [cost(row["at"] * axis.scale) for row in rows]
    where = f"at {ends[0]}" if len(rows) == 1 else f"from {ends[0]} to {ends[-1]}"
    means = " ".join(measured(last["mean"], last["low"], last["high"])).strip()
    p = last["lead_p_holm"]
    sure = "" if pd.isna(p) else " (significant)" if p < LEVEL else " (not significant)"
    lead = " ".join(measured(last["lead"], last["lead_low"], last["lead_high"])).strip()
    second = _name(across, last["runner_up"])
    if first["runner_up"] is None or pd.isna(last["lead"]):
        other = ""
    elif last["lead"] < 0:  # another set of problems than that of the means
        other = f", but on the same problems it differs from {second} by {lead}{sure}"
    else:
        other = f", {lead} more than {second}{sure}"
    return f"{where} {axis.unit}: {_name(across, first['winner'])} with {means}{other}"


def _name(across: AcrossModels, label: Any) -> str:
    return across.looks[label].name if label in across.looks else "–"


def _missing(across: AcrossModels) -> list[Text]:
    """Why a cost is missing."""
    there = {axis.column for axis in across.axes}
    said = []
    if "flops" not in there:
        said.append("FLOPs are not shown: a run does not know those of its model.")
    if "device_seconds" not in there and len(across.devices) > 1:
        devices = ", ".join(across.devices)
        said.append(f"Device-seconds are not shown: they were measured on several kinds of devices ({devices}).")
    if "money" not in there:
        said.append("Money is not shown: name the price of a device's hour (--price 2.5, or --price 'DEVICE=2.5').")
    return [Text(text, "note") for text in said]


def _tables(across: AcrossModels, score: str, axis: CostAxis, folded: bool) -> list[Table]:
    on = "the reward searched on" if score == SEARCHED else words(score)
    pick = {"scored_on": score, "axis": axis.column}
    best = _picked(across.frontier, pick)
    tables = []
    if len(best):
        caption = f"The best at each cost, in {axis.unit}; scored on {on}"
        rows = [_best(across, row, axis) for row in best.to_dict("records")]
        tables.append(shortened(rows, _best_columns(axis, across), caption, files=["frontier.csv"], folded=folded))
    changes = _picked(across.crossovers, pick)
    if len(changes):
        caption = f"Where the best changes, in {axis.unit}; scored on {on}"
        rows = [_change(across, row, axis) for row in changes.to_dict("records")]
        tables.append(
            shortened(rows, _change_columns(axis, across.over), caption, files=["crossovers.csv"], folded=folded)
        )
    return tables


def _picked(frame: pd.DataFrame, by: dict[str, str]) -> pd.DataFrame:
    for column, wanted in by.items():
        frame = frame[frame[column] == wanted]
    return frame


def _best_columns(axis: CostAxis, across: AcrossModels) -> list[Column]:
    return [
        Column("searched on"),
        Column(axis.unit, RIGHT),
        Column("best"),
        Column("mean", RIGHT, f"its 95 % interval is over {across.over}"),
        Column("runner-up"),
        Column("lead", RIGHT, "on the same problems, with its 95 % interval"),
        Column("p", RIGHT, HOLM),
        Column(f"over {words(across.baseline)}", RIGHT, "lead over its best on any model at that cost"),
    ]


def _best(across: AcrossModels, row: dict[Any, Any], axis: CostAxis) -> list[Cell]:
    return [
        Cell(words(row["reward"])),
        Cell(cost(row["at"] * axis.scale)),
        _curve(across, row["winner"]),
        with_interval(row, "mean", "low", "high"),
        _curve(across, row["runner_up"]),
        with_interval(row, "lead", "lead_low", "lead_high"),
        Cell(p_value(row["lead_p_holm"]), strong=row["lead_p_holm"] < LEVEL),
        with_interval(row, "gain", "gain_low", "gain_high"),
    ]


def _change_columns(axis: CostAxis, over: str) -> list[Column]:
    return [
        Column("searched on"),
        Column("up to here"),
        Column("from here on"),
        Column(axis.unit, RIGHT, f"where the second overtakes the first, and the 95 % interval over {over}"),
        Column("crosses in", RIGHT, "resamples of the problems in which the two cross within what was measured"),
        Column("problems", RIGHT),
    ]


def _change(across: AcrossModels, row: dict[Any, Any], axis: CostAxis) -> list[Cell]:
    ends = f"[{_end(row['low'], axis)}, {_end(row['high'], axis)}]" if not pd.isna(row["low"]) else ""
    at = Cell(cost(row["at"] * axis.scale), f"{ends}{' (starts there)' if row['starts'] else ''}")
    names = [_curve(across, row["behind"]), _curve(across, row["ahead"])]
    return [Cell(words(row["reward"])), *names, at, Cell(percent(row["share"])), Cell(str(row["n"]))]


def _end(at: float, axis: CostAxis) -> str:
    return "before" if at == 0 else "beyond" if math.isinf(at) else cost(at * axis.scale)


def _curve(across: AcrossModels, label: Any) -> Cell:
    look = across.looks.get(label)
    return Cell("–") if look is None else Cell(look.name, colour=colours(look.colour))


def files(across: AcrossModels) -> Iterator[File]:
    """What lies beside the page; one at a time, since pictures are large."""
    if not across.axes:
        return
    points = [frame.assign(scored_on=score) for score, frame in across.points.items()]
    yield "across.csv", csv(pd.concat(points, ignore_index=True))
    if len(across.frontier):
        yield "frontier.csv", csv(across.frontier)
    if len(across.crossovers):
        yield "crossovers.csv", csv(across.crossovers)
    if not is_drawn(across.points[SEARCHED]):
        return
    axes = [axis.axis for axis in across.axes]
    drawn = figure_across(across.points[SEARCHED], axes, across.looks, across.front(SEARCHED), TITLE)
    yield from figure("across", drawn)
