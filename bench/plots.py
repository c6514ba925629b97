"""Curves and image grids as PNG files. Figures are built without pyplot, so nothing global changes."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from bench.curves import count_text
from bench.files import atomic_write
from bench.grid import figure_images
from bench.looks import INK, Look, curve_looks
from tts.errors import SettingError

__all__ = ["figure_curves", "figure_images", "plot_curves", "plot_images", "png"]

PANELS_ACROSS = 4
DPI = 160


def plot_curves(curves: pd.DataFrame, path: Path) -> None:
    """Draw reward against compute into a PNG file.

    Args:
        curves: as :func:`bench.curves.curves` makes them.
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


def figure_curves(curves: pd.DataFrame) -> Figure:
    """One panel a reward, one line a curve, NFE on a log axis; see :func:`plot_curves`."""
    curves = curves[curves["mean"].notna()]
    if curves.empty:
        raise SettingError("no curve to plot: no trial has a value")
    looks = curve_looks(list(zip(curves["search"], curves["curve"], strict=True)))
    rewards = list(dict.fromkeys(curves["reward"]))
    across = min(len(rewards), PANELS_ACROSS)
    down = math.ceil(len(rewards) / across)
    width = max(4.1 * across, 6.0)
    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08)
    figure = Figure((width, 3.6 * down + 1.2), dpi=DPI, layout=layout, facecolor="white")
    axes = figure.subplots(down, across, squeeze=False).ravel()
    for axis, reward in zip(axes, rewards, strict=False):
        _panel(axis, curves[curves["reward"] == reward], looks)
        axis.set_title(reward.replace("_", " "), fontsize=11, fontweight="bold", color=INK)
    for axis in axes[len(rewards) :]:
        axis.remove()
    for axis in axes[: len(rewards) : across]:
        axis.set_ylabel("mean reward, 95 % interval", color=INK, fontsize=9)
    figure.suptitle(f"Reward against compute, {count_text(curves)}", fontsize=13, color=INK)
    _legend(figure, curves, looks, width)
    return figure


def _panel(axis: Axes, curves: pd.DataFrame, looks: dict[str, Look]) -> None:
    axis.set_xscale("log")
    for curve, look in looks.items():
        points = curves[curves["curve"] == curve].sort_values("nfe")
        if len(points) == 1:
            _draw_point(axis, points, look)
        elif len(points):
            _draw_line(axis, points, look)
    _ticks(axis)
    axis.set_xlabel("denoiser calls (NFE) per image", color=INK, fontsize=9)
    axis.grid(color="#e9e9e9", linewidth=0.8)
    axis.set_axisbelow(True)
    axis.tick_params(which="both", color="#aaaaaa", labelcolor=INK, labelsize=8)
    axis.tick_params(which="minor", length=2)
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color("#aaaaaa")


def _draw_line(axis: Axes, points: pd.DataFrame, look: Look) -> None:
    """A line with markers, and its intervals as a band."""
    x = points["nfe"].to_numpy(float)
    low, high = points["low"].to_numpy(float), points["high"].to_numpy(float)
    axis.fill_between(x, low, high, color=look.colour, alpha=0.11, linewidth=0)
    axis.plot(x, points["mean"].to_numpy(float), label=look.name, **_strokes(look))


def _draw_point(axis: Axes, points: pd.DataFrame, look: Look) -> None:
    """A marker with its interval as an error bar."""
    mean = points["mean"].to_numpy(float)
    sides = [mean - points["low"].to_numpy(float), points["high"].to_numpy(float) - mean]
    # matplotlib refuses a side below zero, and a bootstrap interval of a skewed sample need not hold its mean
    axis.errorbar(
        points["nfe"].to_numpy(float),
        mean,
        yerr=np.maximum(sides, 0),
        label=look.name,
        capsize=3,
        elinewidth=1.2,
        zorder=4,
        **{**_strokes(look), "linestyle": "none"},
    )


def _strokes(look: Look) -> dict[str, Any]:
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


def _ticks(axis: Axes) -> None:
    """Plain numbers at 1, 2, 5, 10, ... while they fit, else at the powers of ten."""
    low, high = axis.get_xlim()
    decades = math.log10(high / low)
    subs = (1.0, 2.0, 5.0) if decades < 2.2 else (1.0, 3.0) if decades < 3.2 else (1.0,)
    axis.xaxis.set_major_locator(LogLocator(subs=subs, numticks=20))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}" if x >= 1 else f"{x:g}"))
    axis.xaxis.set_minor_locator(LogLocator(subs=tuple(range(1, 10)), numticks=100))
    axis.xaxis.set_minor_formatter(NullFormatter())


def _legend(figure: Figure, curves: pd.DataFrame, looks: dict[str, Look], width: float) -> None:
    """One legend below all panels, in the order of the searches."""
    alone = curves.groupby(["curve", "reward"]).size().groupby("curve").max() == 1
    lines = [
        Line2D([], [], label=look.name, **{**_strokes(look), **({"linestyle": "none"} if alone[curve] else {})})
        for curve, look in looks.items()
    ]
    figure.legend(
        handles=lines,
        loc="outside lower center",
        ncols=_legend_columns([look.name for look in looks.values()], width),
        frameon=False,
        fontsize=9,
        labelcolor=INK,
        handlelength=2.6,
    )


def _legend_columns(names: list[str], width: float) -> int:
    """As many columns as fit into a figure's width in inches, evenly filled."""
    inches = [0.085 * len(name) + 0.72 for name in names]
    if sum(inches) < width:
        return len(names)
    rows = math.ceil(len(names) / max(1, int(width / max(inches))))
    return math.ceil(len(names) / rows)


def png(figure: Figure) -> bytes:
    """A figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=figure.dpi)
    return buffer.getvalue()
