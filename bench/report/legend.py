"""Room for the legend below a figure's panels."""

from __future__ import annotations

import math

ROWS = 10
"""Rows of a legend for which every figure has room."""
ROW = 0.19
"""Inches of a further one."""


def legend_columns(names: list[str], width: float) -> int:
    """As many columns as fit into a figure's width in inches, evenly filled."""
    inches = [0.085 * len(name) + 0.72 for name in names]
    if sum(inches) < width:
        return len(names)
    rows = math.ceil(len(names) / max(1, int(width / max(inches))))
    return math.ceil(len(names) / rows)


def legend_room(names: list[str], width: float) -> float:
    """Inches by which a figure is higher, so that a long legend takes nothing from its panels."""
    return ROW * max(0, math.ceil(len(names) / max(1, legend_columns(names, width))) - ROWS)
