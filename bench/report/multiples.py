"""Small multiples: a panel for each group of searches, all the others behind in grey."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from bench.report.emphasis import placed
from bench.report.palette import INK, curve_styles
from bench.report.plots import BEHIND, DPI, NFE, PANELS_ACROSS, Axis, draw_curves, frame_panel
from bench.statistics.curves import count_text
from tts.errors import SettingError

NAMED = 10
"""Curves of a panel that its legend names, at most."""


def figure_groups(curves: pd.DataFrame, axis: Axis = NFE, title: str = "Reward against compute") -> Figure:
    """Curves of one reward, a panel for each group of searches.

    Args:
        curves: of one reward, as :func:`bench.report.plots.figure_curves` takes them.
        axis: the horizontal one.
        title: what is drawn; the number of problems is added.

    Raises:
        SettingError: there is no point with a mean and a place on the axis.
    """
    curves = placed(curves, axis.column)
    if curves.empty:
        raise SettingError("no curve to plot: no trial has a value")
    looks = curve_styles(list(zip(curves["search"], curves["curve"], strict=True)))
    groups = list(dict.fromkeys(look.group for look in looks.values()))
    across = min(len(groups), PANELS_ACROSS)
    down = math.ceil(len(groups) / across)
    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08)
    figure = Figure((max(4.1 * across, 6.0), 3.6 * down + 0.6), dpi=DPI, layout=layout, facecolor="white")
    panels = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True).ravel()
    for panel, group in zip(panels, groups, strict=False):
        if axis.log:
            panel.set_xscale("log")
        for _, points in curves.groupby("curve"):
            line = points.sort_values(axis.column)
            panel.plot(line[axis.column], line["mean"], color=BEHIND, linewidth=0.8, zorder=1)
        mine = {label: look for label, look in looks.items() if look.group == group}
        draw_curves(panel, curves[curves["curve"].isin(list(mine))], axis, mine)
        frame_panel(panel, axis)
        panel.set_title(group, fontsize=11, fontweight="bold", color=INK)
        _legend(panel)
    for panel in panels[len(groups) :]:
        panel.remove()
    figure.suptitle(f"{title}, {count_text(curves)}", fontsize=13, color=INK)
    return figure


def _legend(panel: Axes) -> None:
    """The names of a panel's curves, as many as leave it readable."""
    handles, names = panel.get_legend_handles_labels()
    more = len(names) - NAMED
    title = f"and {more} more" if more > 0 else None
    shown = {"handles": handles[:NAMED], "labels": names[:NAMED], "title": title, "title_fontsize": 8}
    panel.legend(**shown, frameon=False, fontsize=8, labelcolor=INK, loc="best")
