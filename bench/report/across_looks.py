"""Styles of the curves of several models in one figure: a colour a model, a marker a search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bench.report.palette import LINES, CurveStyle, curve_styles, rank
from bench.statistics.across import MORE_STEPS, Curve

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#b07d00", "#6a3d9a", "#7f5539")


def across_looks(curves: Mapping[str, Curve]) -> dict[str, CurveStyle]:
    """The looks of curves by label, model by model, searches in the order of every legend.

    With more models than colours these come again, with another dash.
    """
    models = {
        model: place for place, model in enumerate(sorted({curve.model for curve in curves.values()}, key=_numbered))
    }
    own = curve_styles([(curve.search, curve.own) for curve in curves.values() if curve.own != MORE_STEPS])
    order = sorted(curves.values(), key=lambda curve: (models[curve.model], rank(curve.search), curve.own))
    return {curve.label: _look(curve, models[curve.model], own) for curve in order}


def _numbered(name: str) -> list[tuple[int, float, str]]:
    """Sorts ``6 steps`` before ``12 steps``."""
    return [(0, float(part), "") if part.isdecimal() else (1, 0.0, part) for part in name.split()]


def _look(curve: Curve, place: int, own: Mapping[str, CurveStyle]) -> CurveStyle:
    line, colour = LINES[place // len(COLOURS) % len(LINES)], COLOURS[place % len(COLOURS)]
    if curve.own == MORE_STEPS:
        return CurveStyle(f"{curve.model}: {MORE_STEPS}, no search", colour, "D", curve.model, "--", filled=False)
    look = own[curve.own]
    return replace(look, name=f"{curve.model}: {look.name}", colour=colour, group=curve.model, line=line)
