"""Files of a section: a figure as PNG and SVG, a table as CSV."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import pandas as pd
from matplotlib.figure import Figure

from bench.report.emphasis import placed
from bench.report.plots import NFE, Axis, png, svg

File: TypeAlias = tuple[str, bytes]
"""Name and content."""


def is_drawn(curves: pd.DataFrame, axis: Axis = NFE) -> bool:
    """Whether there is something to draw."""
    return not placed(curves, axis.column).empty


def figure(name: str, drawn: Figure) -> Iterator[File]:
    """A drawn figure as PNG and as SVG."""
    yield f"{name}.png", png(drawn)
    drawn.set_layout_engine("none")  # everything has its place by now
    yield f"{name}.svg", svg(drawn)


def csv(frame: pd.DataFrame) -> bytes:
    """A table as CSV."""
    return frame.to_csv(index=False).encode()
