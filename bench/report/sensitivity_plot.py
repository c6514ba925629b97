"""Rewards against one setting of each search, as small panels."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from bench.report.palette import INK, look
from bench.report.plots import DPI, strokes

LONG = 12
"""Characters of a value from which on it is written aslant."""


def figure_sensitivity(points: pd.DataFrame) -> Figure:
    """A column for each search, a row for each reward; the panels of a row have one scale.

    Args:
        points: as :func:`bench.statistics.sensitivity.sensitivity` makes them; at least one.
    """
    rewards, searches = (list(dict.fromkeys(points[name])) for name in ("reward", "search"))
    layout = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06)
    size = (max(2.4 * len(searches), 5.0), 2.3 * len(rewards) + 0.8)
    figure = Figure(size, dpi=DPI, layout=layout, facecolor="white")
    panels = figure.subplots(len(rewards), len(searches), squeeze=False, sharey="row", sharex="col")
    for (row, column), panel in np.ndenumerate(panels):
        mine = points[(points["reward"] == rewards[row]) & (points["search"] == searches[column])]
        _panel(panel, mine, str(searches[column]))
        if row == 0:
            panel.set_title(look(str(searches[column])).name, fontsize=10, fontweight="bold", color=INK)
        if column == 0:
            panel.set_ylabel(str(rewards[row]).replace("_", " "), fontsize=9, color=INK)
    for column, search in enumerate(searches):
        line = points[points["search"] == search].drop_duplicates("place").sort_values("place")
        panels[-1, column].set_xlabel(line["setting"].iloc[0], fontsize=9, color=INK)
        names = list(line["value"])
        aslant = {"rotation": 30, "ha": "right"} if max(map(len, names)) > LONG else {}
        panels[-1, column].set_xticks(list(line["place"]), names, fontsize=8, **aslant)
    low, high = points["nfe"].min(), points["nfe"].max()
    cost = f"{low:,.0f}" if math.isclose(low, high, abs_tol=0.5) else f"{low:,.0f} to {high:,.0f}"
    figure.suptitle(f"Sensitivity to one setting, at {cost} NFE", fontsize=12, color=INK)
    return figure


def _panel(panel: Axes, points: pd.DataFrame, search: str) -> None:
    points = points.sort_values("place")
    mean = points["mean"].to_numpy(float)
    sides = np.array([mean - points["low"].to_numpy(float), points["high"].to_numpy(float) - mean])
    panel.errorbar(
        points["place"].to_numpy(float),
        mean,
        yerr=np.maximum(sides, 0),
        capsize=2,
        elinewidth=1,
        **strokes(look(search)),
    )
    panel.grid(color="#e9e9e9", linewidth=0.8)
    panel.set_axisbelow(True)
    panel.tick_params(color="#aaaaaa", labelcolor=INK, labelsize=8)
    panel.spines[["top", "right"]].set_visible(False)
    panel.spines[["left", "bottom"]].set_color("#aaaaaa")
    panel.margins(x=0.15)
