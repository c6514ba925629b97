"""Several models in one picture: a row a reward, a column a cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from bench.report.legend import legend_columns, legend_room
from bench.report.palette import INK, CurveStyle
from bench.report.plots import DPI, Axis, draw_behind, draw_curves, frame_panel, strokes
from bench.statistics.curves import count_text


def figure_across(
    points: pd.DataFrame,
    axes: Sequence[Axis],
    looks: Mapping[str, CurveStyle],
    front: Mapping[tuple[str, str], set[str]],
    title: str,
) -> Figure:
    """Curves of all models against each cost; those of a frontier are in colour, the others behind in grey.

    Args:
        points: ``reward``, ``curve``, the axes' columns, ``n``, ``mean``, ``low`` and ``high``.
        axes: the costs, one at least.
        looks: by label of the curve, in the order of the legend.
        front: labels of the curves on the frontier, by reward and cost.
        title: what is drawn; the number of problems is added.
    """
    points = points[points["mean"].notna()]
    rewards = list(dict.fromkeys(points["reward"]))
    width = max(4.6 * len(axes), 7.0)
    shown = {label: look for label, look in looks.items() if (points["curve"] == label).any()}
    names = [look.name for look in shown.values()]
    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08)
    figure = Figure(
        (width, 3.8 * len(rewards) + 1.6 + legend_room(names, width)), dpi=DPI, layout=layout, facecolor="white"
    )
    panels = figure.subplots(len(rewards), len(axes), squeeze=False, sharey="row")
    for row, reward in zip(panels, rewards, strict=True):
        for panel, axis in zip(row, axes, strict=True):
            mine = points[(points["reward"] == reward) & (points[axis.column] > 0)]
            _panel(panel, mine, axis, looks, front.get((reward, axis.column), set()))
        row[0].set_ylabel(f"{reward.replace('_', ' ')}, mean and 95 % interval", color=INK, fontsize=9)
    figure.suptitle(f"{title}, {count_text(points)}", fontsize=13, color=INK)
    lines = [Line2D([], [], label=look.name, **strokes(look)) for look in shown.values()]
    columns = legend_columns(names, width)
    figure.legend(handles=lines, loc="outside lower center", ncols=columns, frameon=False, fontsize=8, labelcolor=INK)
    return figure


def _panel(panel: Axes, points: pd.DataFrame, axis: Axis, looks: Mapping[str, CurveStyle], front: set[str]) -> None:
    if axis.log:
        panel.set_xscale("log")
    for label, look in looks.items():
        line = points[points["curve"] == label].sort_values(axis.column).rename(columns={axis.column: "x"})
        if len(line) and label not in front:
            draw_behind(panel, line, look)
    draw_curves(panel, points, axis, {label: look for label, look in looks.items() if label in front})
    frame_panel(panel, axis)
