"""Cells of the page's tables: numbers as people read them."""

from __future__ import annotations

import json
import math
from typing import Any

import pandas as pd

from bench.report.html.analysis import Analysis
from bench.report.html.blocks import Cell, Column, Table
from bench.report.html.charts import colours

ROWS = 400
"""Rows of a table at most; the CSV beside the page has all."""

RIGHT = "right"

LEVEL = 0.05

NUMBER = "mean over problems and its 95 % interval"

HOLM = "after Holm's correction over this table's comparisons of the reward; bold below 0.05"


def value(number: Any, digits: int = 3) -> str:
    """A number for people; a dash for none."""
    if number is None or not math.isfinite(number):
        return "–"
    text = f"{float(number):,.{digits}f}"
    return text.removeprefix("-") if not float(text.replace(",", "")) else text.replace("-", "−")


def cost(number: Any) -> str:
    """A cost for people: three digits that mean something."""
    if number is None or not math.isfinite(number):
        return "–"
    return f"{number:,.0f}" if 100 <= number < 1e7 else f"{number:.3g}"


def measured(mean: Any, low: Any, high: Any) -> tuple[str, str]:
    """A mean and ``[low, high]``, with as many decimals as the interval leaves certain and one more."""
    if pd.isna(low) or pd.isna(high) or not math.isfinite(high - low):
        return value(mean), ""
    half = (high - low) / 2
    digits = min(max(1 - math.floor(math.log10(half)), 0), 6) if half > 0 else 3
    return value(mean, digits), f"[{value(low, digits)}, {value(high, digits)}]"


def with_interval(row: dict[Any, Any], name: str, low: str, high: str, strong: bool = False) -> Cell:
    """A cell with a number and its interval."""
    return Cell(*measured(row[name], row[low], row[high]), strong=strong)


def p_value(p: Any) -> str:
    """A probability for people."""
    return "–" if pd.isna(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"


def percent(share: Any) -> str:
    """A share of one in percent."""
    return "–" if pd.isna(share) else f"{100 * share:.0f} %"


def signed(number: float) -> str:
    """A number of two decimals with its sign."""
    return f"{number:+.2f}".replace("-", "−")


def curve_cell(analysis: Analysis, label: Any, text: str | None = None) -> Cell:
    """A curve's name behind its colour."""
    look = analysis.looks.get(label)
    return Cell(text or analysis.name(label), colour=None if look is None else colours(look.colour))


def effective(row: dict[Any, Any]) -> Cell:
    """A cell with the number of problems and, in brackets, the effective one."""
    effective = row.get("effective_n")
    return Cell(str(row["n"]), "" if pd.isna(effective) else f"({effective:.3g})")


def shortened(rows: list[list[Cell]], columns: list[Column], caption: str, **how: Any) -> Table:
    """A table that says so if it leaves rows out."""
    if len(rows) > ROWS:
        caption = f"{caption} (the first {ROWS} of {len(rows)} rows; the CSV file has all)"
    return Table(caption, columns, rows[:ROWS], **how)


def pairs(caption: str, items: dict[str, Any]) -> Table:
    """Names and values."""
    rows = [[Cell(name), Cell(found if isinstance(found, str) else json.dumps(found))] for name, found in items.items()]
    return Table(caption, [Column("what"), Column("value", "wrap")], rows)
