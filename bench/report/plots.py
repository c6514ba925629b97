"""Curves and image grids as PNG and SVG files. Figures are built without pyplot, so nothing global changes."""

from __future__ import annotations

import io
import math
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context, rcdefaults
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import NDArray

from bench.report.emphasis import in_front, placed
from bench.report.grid import figure_images
from bench.report.legend import legend_columns, legend_room
from bench.report.palette import INK, CurveStyle, curve_styles
from bench.statistics.curves import count_text
from tts.errors import SettingError
from tts.files.whole import atomic_write

if os.environ.get("MATPLOTLIBRC") == os.devnull:  # the command line's own process, but a file in its folder came first
    rcdefaults()

__all__ = ["NFE", "Axis", "figure_curves", "figure_images", "plot_curves", "plot_images", "png", "svg"]

PANELS_ACROSS = 4
BEHIND = "#b5b5b5"
DPI = 160


@dataclass(frozen=True)
class Axis:
    """The horizontal axis of curves.

    Args:
        column: of the curves.
        label: for people, with its unit; ``short`` is without.
        log: whether it is logarithmic.
        ticks: names of some of its values; None: numbers.
    """

    column: str
    label: str
    short: str
    log: bool = True
    ticks: dict[int, str] | None = None


NFE = Axis("nfe", "denoiser calls (NFE) per image", "NFE")


def plot_curves(curves: pd.DataFrame, path: Path) -> None:
    """Draw reward against compute into a PNG file.

    Args:
        curves: as :func:`bench.statistics.curves.curves` makes them.
        path: the file; its folder must exist.

    Raises:
        SettingError: there is no scored point.
    """
    atomic_write(path, png(figure_curves(curves)))


def plot_images(trials: pd.DataFrame, path: Path, reward: str | None = None, problems: int = 10) -> None:
    """Draw the images of the same problems under every search into a PNG file.

    Args:
        trials: one row per trial.
        path: the file; its folder must exist.
        reward: only of trials that searched on this reward; None draws a block for each.
        problems: columns, at most.

    Raises:
        SettingError: no trial searched on the reward.
    """
    atomic_write(path, png(figure_images(trials, reward, problems)))


def figure_curves(
    curves: pd.DataFrame,
    axis: Axis = NFE,
    title: str = "Reward against compute",
    value: str = "mean reward, 95 % interval",
    markers: bool = True,
    counted: str = "problem",
) -> Figure:
    """One panel a reward, one line a curve; see :func:`plot_curves`.

    Where a panel has many curves, all but the best are grey.

    Args:
        curves: ``reward``, ``search``, ``curve``, the axis' column, ``n``, ``mean``, ``low`` and ``high``; points that
            are ``derived`` are drawn hollow.
        axis: the horizontal one.
        title: what is drawn; the number of what is counted is added.
        value: what ``mean`` is.
        markers: whether points are marked.
        counted: what ``n`` counts, one of it.

    Raises:
        SettingError: there is no point with a mean and a place on the axis.
    """
    curves = placed(curves, axis.column)
    if curves.empty:
        raise SettingError("no curve to plot: no trial has a value")
    looks = curve_styles(list(zip(curves["search"], curves["curve"], strict=True)))
    rewards = list(dict.fromkeys(curves["reward"]))
    across = min(len(rewards), PANELS_ACROSS)
    down = math.ceil(len(rewards) / across)
    width = max(4.1 * across, 6.0)
    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08)
    height = 3.6 * down + 1.2 + legend_room([look.name for look in looks.values()], width)
    figure = Figure((width, height), dpi=DPI, layout=layout, facecolor="white")
    panels = figure.subplots(down, across, squeeze=False).ravel()
    for panel, reward in zip(panels, rewards, strict=False):
        _panel(panel, curves[curves["reward"] == reward], axis, looks, markers)
        panel.set_title(reward.replace("_", " "), fontsize=11, fontweight="bold", color=INK)
    for panel in panels[len(rewards) :]:
        panel.remove()
    for panel in panels[: len(rewards) : across]:
        panel.set_ylabel(value, color=INK, fontsize=9)
    figure.suptitle(f"{title}, {count_text(curves, counted)}", fontsize=13, color=INK)
    _legend(figure, curves, looks, width)
    return figure


def _panel(panel: Axes, curves: pd.DataFrame, axis: Axis, looks: dict[str, CurveStyle], markers: bool) -> None:
    if axis.log:
        panel.set_xscale("log")
    front = in_front(curves, axis.column, axis.log)
    behind = {label: look for label, look in looks.items() if label not in front}
    for curve, look in behind.items():
        points = curves[curves["curve"] == curve].sort_values(axis.column).rename(columns={axis.column: "x"})
        if len(points):
            draw_behind(panel, points, look)
    draw_curves(panel, curves, axis, {label: look for label, look in looks.items() if label in front}, markers)
    frame_panel(panel, axis)


def draw_curves(
    panel: Axes, curves: pd.DataFrame, axis: Axis, looks: dict[str, CurveStyle], markers: bool = True
) -> None:
    """Draw these curves with their intervals."""
    for curve, look in looks.items():
        points = curves[curves["curve"] == curve].sort_values(axis.column).rename(columns={axis.column: "x"})
        if len(points) == 1:
            _draw_point(panel, points, look)
        elif len(points):
            _draw_line(panel, points, look, markers)


def frame_panel(panel: Axes, axis: Axis) -> None:
    """Ticks, grid and edges."""
    _ticks(panel, axis)
    panel.set_xlabel(axis.label, color=INK, fontsize=9)
    panel.grid(color="#e9e9e9", linewidth=0.8)
    panel.set_axisbelow(True)
    panel.tick_params(which="both", color="#aaaaaa", labelcolor=INK, labelsize=8)
    panel.tick_params(which="minor", length=2)
    panel.spines[["top", "right"]].set_visible(False)
    panel.spines[["left", "bottom"]].set_color("#aaaaaa")


def draw_behind(panel: Axes, points: pd.DataFrame, look: CurveStyle) -> None:
    """A thin grey line without a band; its markers tell which curve it is."""
    faint = {**strokes(replace(look, colour=BEHIND)), "linewidth": 0.9, "markersize": 4.0, "zorder": 1.5}
    panel.plot(points["x"].to_numpy(float), points["mean"].to_numpy(float), label=look.name, **faint)


def _draw_line(panel: Axes, points: pd.DataFrame, look: CurveStyle, markers: bool) -> None:
    """A line with markers, hollow ones for what was derived, and its intervals as a band."""
    x, mean = points["x"].to_numpy(float), points["mean"].to_numpy(float)
    low, high = points["low"].to_numpy(float), points["high"].to_numpy(float)
    panel.fill_between(x, low, high, color=look.colour, alpha=0.11, linewidth=0)
    derived = _derived(points)
    line = strokes(look) if markers else {**strokes(look), "marker": "none"}
    panel.plot(x, mean, label=look.name, markevery=list(np.flatnonzero(~derived)), **line)
    if derived.any():
        hollow = strokes(replace(look, filled=False))
        panel.plot(x[derived], mean[derived], **{**hollow, "linestyle": "none"})


def _derived(points: pd.DataFrame) -> NDArray[np.bool_]:
    """Which points were not run but follow from others."""
    return points["derived"].to_numpy(bool) if "derived" in points else np.zeros(len(points), bool)


def _draw_point(panel: Axes, points: pd.DataFrame, look: CurveStyle) -> None:
    """A marker with its interval as an error bar."""
    mean = points["mean"].to_numpy(float)
    sides = [mean - points["low"].to_numpy(float), points["high"].to_numpy(float) - mean]
    # matplotlib refuses a side below zero, and a bootstrap interval of a skewed sample need not hold its mean
    panel.errorbar(
        points["x"].to_numpy(float),
        mean,
        yerr=np.maximum(sides, 0),
        label=look.name,
        capsize=3,
        elinewidth=1.2,
        zorder=4,
        **{**strokes(look), "linestyle": "none"},
    )


def strokes(look: CurveStyle) -> dict[str, Any]:
    """A curve's look as matplotlib's arguments."""
    return {
        "color": look.colour,
        "marker": look.marker,
        "linestyle": look.line,
        "linewidth": 1.7,
        "markersize": {"*": 10, "P": 8.5}.get(look.marker, 6.5),
        "markerfacecolor": look.colour if look.filled else "white",
        "markeredgecolor": "white" if look.filled else look.colour,
        "markeredgewidth": 0.7 if look.filled else 1.2,
    }


def _ticks(panel: Axes, axis: Axis) -> None:
    """An axis' own ticks; else, if it is logarithmic, 1, 2, 5, 10, ... while they fit, or the powers of ten."""
    if axis.ticks:
        places = list(axis.ticks)[:: math.ceil(len(axis.ticks) / 8)]
        panel.set_xticks(places, [axis.ticks[place] for place in places])
    if not axis.log:
        return
    low, high = panel.get_xlim()
    if high < 1.001 * low:  # costs that differ in their last bits are one place, and an axis needs a width
        low, high = panel.set_xlim(low / 1.25, high * 1.25)
    decades = math.log10(high / low)
    subs = (1.0, 2.0, 5.0) if decades < 2.2 else (1.0, 3.0) if decades < 3.2 else (1.0,)
    panel.xaxis.set_major_locator(LogLocator(subs=subs, numticks=20))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda x, _: _plain(x)))
    panel.xaxis.set_minor_locator(LogLocator(subs=tuple(range(1, 10)), numticks=100))
    panel.xaxis.set_minor_formatter(NullFormatter())


def _plain(x: float) -> str:
    """A tick's number; thousands of billions as powers of ten."""
    return f"{x:.0e}".replace("e+", "e") if x >= 1e7 else f"{x:,.0f}" if x >= 1 else f"{x:g}"


def _legend(figure: Figure, curves: pd.DataFrame, looks: dict[str, CurveStyle], width: float) -> None:
    """One legend below all panels, in the order of the searches."""
    alone = curves.groupby(["curve", "reward"]).size().groupby("curve").max() == 1
    lines = [
        Line2D([], [], label=look.name, **{**strokes(look), **({"linestyle": "none"} if alone[curve] else {})})
        for curve, look in looks.items()
    ]
    figure.legend(
        handles=lines,
        loc="outside lower center",
        ncols=legend_columns([look.name for look in looks.values()], width),
        frameon=False,
        fontsize=9,
        labelcolor=INK,
        handlelength=2.6,
    )


def _take_words_as_they_are(figure: Figure) -> None:
    """Names come out of rows and may hold dollar signs, which would be read as formulas; ticks are our own."""
    legends = [*figure.legends, *(axes.get_legend() for axes in figure.axes)]
    texts = [*figure.texts, *(text for legend in legends if legend is not None for text in legend.get_texts())]
    texts += [text for axes in figure.axes for text in (axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts)]
    for text in texts:
        text.set_parse_math(False)


def png(figure: Figure) -> bytes:
    """A figure as the bytes of a PNG file."""
    _take_words_as_they_are(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=figure.dpi)
    return buffer.getvalue()


def svg(figure: Figure) -> bytes:
    """A figure as the bytes of an SVG file; the same figure gives the same bytes."""
    _take_words_as_they_are(figure)
    buffer = io.BytesIO()
    with rc_context({"svg.hashsalt": "tts-bench"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
