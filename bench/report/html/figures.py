"""Files of a section: a figure as PNG and SVG, a table as CSV."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import pandas as pd
from matplotlib.figure import Figure
from pandas.api.types import is_numeric_dtype

from bench.report.emphasis import placed
from bench.report.plots import NFE, Axis, png, svg

File: TypeAlias = tuple[str, bytes]
"""Name and content."""

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How texts begin that a spreadsheet computes: with what stands in a prompt or an error, it would call programs."""


def is_drawn(curves: pd.DataFrame, axis: Axis = NFE) -> bool:
    """Whether there is something to draw."""
    return not placed(curves, axis.column).empty


def figure(name: str, drawn: Figure) -> Iterator[File]:
    """A drawn figure as PNG and as SVG."""
    yield f"{name}.png", png(drawn)
    drawn.set_layout_engine("none")  # everything has its place by now
    yield f"{name}.svg", svg(drawn)


def csv(frame: pd.DataFrame) -> bytes:
    """A table as CSV; an apostrophe before a text that begins like a formula makes it a text for spreadsheets, too."""
    texts = {str(name): column.map(_text) for name, column in frame.items() if not is_numeric_dtype(column)}
    return frame.assign(**texts).to_csv(index=False).encode()


def _text(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
