"""Quality against diversity: a point a search and budget, from metrics of sets of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from bench.report.legend import legend_columns, legend_room
from bench.report.palette import INK, CurveStyle
from bench.report.plots import DPI, Axis, frame_panel, strokes

POINT = ["run", "reward", "search", "curve", "settings", "budget", "budget_value"]
MOST_ACROSS, MOST_DOWN = 3, 3


@dataclass(frozen=True)
class QualityTable:
    """Metrics of each point side by side.

    Args:
        points: a row a point: POINT, ``n``, and for each metric its name, ``NAME low`` and ``NAME high``.
        quality, diversity: the metrics' names; those that tell of both are among the first.
    """

    points: pd.DataFrame
    quality: list[str]
    diversity: list[str]


def quality_table(values: pd.DataFrame, kinds: Mapping[str, str]) -> QualityTable | None:
    """Metrics as two axes; None where one of them has no metric.

    Args:
        values: as :class:`bench.report.metrics.SetMetrics` has them; what several runs have of one point stays apart.
        kinds: what each metric tells of.
    """
    there = [str(name) for name in dict.fromkeys(values["metric"])] if len(values) else []
    diversity = [name for name in there if kinds.get(name) == "diversity"]
    quality = [name for name in there if kinds.get(name) == "quality"]
    quality += [name for name in there if kinds.get(name) == "both"]
    if not quality or not diversity:
        return None
    keyed = values.astype({"budget": object}).set_index([*POINT])
    frames = [keyed[keyed["metric"] == name] for name in (*quality, *diversity)]
    columns = {
        f"{name}{suffix}": frame[column]
        for name, frame in zip((*quality, *diversity), frames, strict=True)
        for column, suffix in (("value", ""), ("low", " low"), ("high", " high"))
    }
    n = pd.concat([frame["n"] for frame in frames], axis=1).max(axis=1).rename("n")
    points = pd.DataFrame({**columns, "n": n}).reset_index()
    return QualityTable(points.sort_values([*POINT[:4], "budget_value"], ignore_index=True), quality, diversity)


def figure_quality(table: QualityTable, reward: str, looks: Mapping[str, CurveStyle]) -> Figure:
    """A panel for each pair of a quality's and a diversity's metric; each curve goes from its least budget, ringed.

    Args:
        table: of :func:`quality_table`.
        reward: whose points.
        looks: by label of the curve.
    """
    down, across = table.quality[:MOST_DOWN], table.diversity[:MOST_ACROSS]
    points = table.points[table.points["reward"] == reward]
    width = max(4.2 * len(across), 6.0)
    shown = {label: look for label, look in looks.items() if (points["curve"] == label).any()}
    names = [look.name for look in shown.values()]
    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08)
    figure = Figure(
        (width, 3.6 * len(down) + 1.2 + legend_room(names, width)), dpi=DPI, layout=layout, facecolor="white"
    )
    panels = figure.subplots(len(down), len(across), squeeze=False, sharex="col", sharey="row")
    for row, quality in zip(panels, down, strict=True):
        for panel, diversity in zip(row, across, strict=True):
            _panel(panel, points, diversity, quality, shown)
        row[0].set_ylabel(_words(quality), color=INK, fontsize=9)
    figure.suptitle(f"Quality against diversity, searched on {_words(reward)}", fontsize=13, color=INK)
    lines = [Line2D([], [], label=look.name, **strokes(look)) for look in shown.values()]
    columns = legend_columns(names, width)
    figure.legend(handles=lines, loc="outside lower center", ncols=columns, frameon=False, fontsize=9, labelcolor=INK)
    return figure


def _panel(panel: Axes, points: pd.DataFrame, x: str, y: str, looks: Mapping[str, CurveStyle]) -> None:
    for label, look in looks.items():
        for _, mine in points[points["curve"] == label].groupby("run", sort=False):
            across, up = mine[x].to_numpy(float), mine[y].to_numpy(float)
            ends = [_sides(mine, name) for name in (x, y)]
            panel.errorbar(across, up, xerr=ends[0], yerr=ends[1], elinewidth=0.8, alpha=0.9, **strokes(look))
            panel.plot(across[:1], up[:1], marker="o", markersize=12, markerfacecolor="none", color=look.colour)
    frame_panel(panel, Axis(x, _words(x), _words(x), log=False))


def _sides(points: pd.DataFrame, name: str) -> Sequence[Sequence[float]]:
    """How far intervals reach to both sides; nowhere, where there is none."""
    values = points[name]
    below, above = values - points[f"{name} low"], points[f"{name} high"] - values
    return [[max(0.0, side) if side == side else 0.0 for side in sides] for sides in (below, above)]


def _words(name: str) -> str:
    return name.replace("_", " ")
