"""Data of the page's interactive charts; ``chart.js`` says what they look like."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import to_hex, to_rgb
from matplotlib.markers import MarkerStyle
from matplotlib.path import Path as MarkerPath

from bench.report.emphasis import in_front
from bench.report.html.blocks import Colours
from bench.report.palette import CurveStyle
from bench.report.plots import NFE, Axis

CARD = "#181b20"
"""The dark page's background, on which curves must show."""

CONTRAST = 4.0
MARKER_SIZES = {"*": 11.0, "P": 9.0, "X": 9.0, ".": 3.0}
MARKER_SIZE = 8.0  # pixels across

POINT = ["reward", "search", "settings", "budget", "derived"]
"""Columns that identify a point, whichever reward scores it."""


AXES = (
    NFE,
    Axis("flops", "denoiser FLOPs per image", "FLOPs"),
    Axis("device_seconds", "device-seconds per image", "device-seconds"),
    Axis("wall_seconds", "wall-clock seconds per image", "wall-clock seconds"),
)


def axes(curves: pd.DataFrame) -> list[Axis]:
    """Those cost axes that a run has measured, NFE first."""
    return [axis for axis in AXES if axis.column in curves and (curves[axis.column] > 0).any()]


def curve_chart(
    scored: dict[str, pd.DataFrame],
    looks: dict[str, CurveStyle],
    about: dict[str, str],
    kinds: Sequence[Axis],
) -> dict[str, Any]:
    """One panel for each reward searched on, scored on any reward; of many curves the best are in front.

    Args:
        scored: curves by what they are scored on; the first has every point.
        looks: by label.
        about: the settings of a point for people, by their JSON.
        kinds: the cost axes.
    """
    first = next(iter(scored.values()))
    numbers = {label: number for number, label in enumerate(looks)}
    estimates = {name: _estimates(frame) for name, frame in scored.items()}
    panels = []
    for reward, group in first.groupby("reward", sort=False):
        points = []
        for row in group.to_dict("records"):
            key = _key(row)
            point = {
                "c": numbers[row["curve"]],
                "x": {axis.column: number(row[axis.column]) for axis in kinds},
                "y": {name: found[key] for name, found in estimates.items() if key in found},
                "about": [["settings", about[row["settings"]]], *([["estimated", DERIVED]] if row["derived"] else [])],
            }
            points.append({**point, "hollow": True} if row["derived"] else point)
        front = [numbers[label] for label in in_front(group)]
        panels.append({"title": f"searched on {words(str(reward))}", "points": points, "front": front})
    names = {name: "the reward searched on" if frame is first else words(name) for name, frame in scored.items()}
    return chart(kinds, names, looks, panels)


DERIVED = "best of k from the N samples of best-of-N"


def by_group(data: dict[str, Any], looks: dict[str, CurveStyle]) -> dict[str, Any]:
    """A chart's panels again, each once for every group of searches, whose curves are in front there."""
    groups = list(dict.fromkeys(look.group for look in looks.values()))
    places = [look.group for look in looks.values()]
    panels = []
    for panel, group in product(data["panels"], groups):
        front = [number for number, of in enumerate(places) if of == group]
        if any(point["c"] in front for point in panel["points"]):
            panels.append({**panel, "title": f"{panel['title']}: {group}", "front": front})
    return {**data, "panels": panels}


def line_chart(
    frame: pd.DataFrame, axis: Axis, label: str, looks: dict[str, CurveStyle], bare: bool = False
) -> dict[str, Any]:
    """One panel for each reward searched on, one curve a label.

    Args:
        frame: ``reward``, ``curve``, the axis' column, ``n``, ``mean``, ``low``, ``high``.
        axis: the horizontal one.
        label: what ``mean`` is.
        looks: by label.
        bare: no markers, since the points are many.
    """
    looks = {name: look for name, look in looks.items() if (frame["curve"] == name).any()}
    numbers = {name: number for number, name in enumerate(looks)}
    panels = []
    for reward, group in frame.groupby("reward", sort=False):
        points = [
            {"c": numbers[row["curve"]], "x": {axis.column: number(row[axis.column])}, "y": {"mean": estimate(row)}}
            | ({"bare": True} if bare else {})
            for row in group.to_dict("records")
        ]
        panels.append({"title": f"searched on {words(str(reward))}", "points": points})
    return chart([axis], {"mean": label}, looks, panels)


def chart(
    kinds: Sequence[Axis], scores: dict[str, str], looks: dict[str, CurveStyle], panels: list[dict[str, Any]]
) -> dict[str, Any]:
    """A chart as ``chart.js`` takes it."""
    xs = [
        {"key": axis.column, "label": axis.label, "short": axis.short, "log": axis.log}
        | ({} if axis.ticks is None else {"ticks": axis.ticks})
        for axis in kinds
    ]
    return {
        "xs": xs,
        "ys": [{"key": key, "label": label} for key, label in scores.items()],
        "curves": [_curve(look) for look in looks.values()],
        "panels": panels,
    }


def _curve(look: CurveStyle) -> dict[str, Any]:
    light, dark = colours(look.colour)
    return {
        "name": look.name,
        "colour": light,
        "dark": dark,
        "marker": look.marker,
        "dash": look.line,
        "filled": look.filled,
    }


def _key(row: dict[Any, Any]) -> tuple[Any, ...]:
    return tuple(None if row[name] is None or row[name] != row[name] else row[name] for name in POINT)


def _estimates(frame: pd.DataFrame) -> dict[tuple[Any, ...], dict[str, Any]]:
    return {_key(row): estimate(row) for row in frame.to_dict("records")}


def estimate(row: dict[Any, Any]) -> dict[str, Any]:
    """Mean, interval and counts of a point under the short names of ``chart.js``."""
    names = {"m": "mean", "l": "low", "h": "high", "n": "n", "e": "effective_n", "u": "unscored"}
    return {short: number(row[name]) for short, name in names.items() if name in row}


def number(value: Any) -> float | None:
    """A number of six digits for JSON, which knows neither NaN nor infinity; None for those."""
    if value is None or not math.isfinite(value):
        return None
    rounded = float(f"{float(value):.6g}")
    return int(rounded) if rounded == int(rounded) and abs(rounded) < 2**53 else rounded


def words(name: str) -> str:
    """A reward's name for people."""
    return name.replace("_", " ")


def markers(names: Sequence[str]) -> dict[str, str]:
    """matplotlib's markers as SVG paths around the origin, so that page and pictures agree."""
    return {name: _marker(name) for name in sorted({*names, "."})}


def _marker(name: str) -> str:
    style = MarkerStyle(name if name != "." else "o")
    path = style.get_path().transformed(style.get_transform())
    size = MARKER_SIZES.get(name, MARKER_SIZE)
    extent = float(np.abs(np.asarray(path.vertices)).max())
    letters = {MarkerPath.MOVETO: "M", MarkerPath.LINETO: "L", MarkerPath.CURVE3: "Q", MarkerPath.CURVE4: "C"}
    drawn = []
    for points, code in path.iter_segments(curves=True):
        if code == MarkerPath.CLOSEPOLY:
            drawn.append("Z")
            continue
        scaled = [f"{(-1 if k % 2 else 1) * value / extent * size / 2:.2f}" for k, value in enumerate(points)]
        drawn.append(letters[code] + " ".join(scaled))
    return "".join(drawn)


def colours(colour: str) -> Colours:
    """A colour as it is, and lightened until it shows on the dark page."""
    red, green, blue = to_rgb(colour)
    mixed = (red, green, blue)
    for step in range(21):
        white = step / 20
        mixed = (red + (1 - red) * white, green + (1 - green) * white, blue + (1 - blue) * white)
        if _contrast(mixed, to_rgb(CARD)) >= CONTRAST:
            break
    return to_hex(colour), to_hex(mixed)


def _contrast(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """The ratio of two colours' luminances as WCAG 2 defines it."""
    high, low = sorted((_luminance(a), _luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: tuple[float, ...]) -> float:
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
