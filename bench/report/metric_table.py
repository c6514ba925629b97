"""A run's metrics as a table of the command line, with the method below the numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from rich.table import Column, Table
from rich.text import Text

from bench.report.adding import Added
from bench.report.done import about
from bench.report.html.cells import measured
from bench.report.metrics import warnings
from tts.metrics.base import MetricSettings


def render(values: pd.DataFrame, metrics: Mapping[str, MetricSettings]) -> Table:
    """One row a point, one column a metric; with its 95 % interval.

    Args:
        values: as :func:`bench.statistics.set_metrics.set_metrics` gives them.
        metrics: their names, in the columns' order.
    """
    columns = [Column(Text(name)) for name in metrics]
    table = Table("searched on", "search", "images", *columns, title="metrics of sets", title_justify="left")
    points = values.groupby(["reward", "search", "settings"], sort=False)
    for (reward, _, _), point in points:
        rows: dict[str, Any] = {row["metric"]: row for row in point.to_dict("records")}
        first = next(iter(rows.values()))
        cells = [_cell(rows[name]) if name in rows else "" for name in metrics]
        names = (Text(str(reward)), Text(_name(first)))
        table.add_row(*names, f"{max(row['n'] for row in rows.values()):,}", *(Text(cell) for cell in cells))
    return table


def _name(row: dict[Any, Any]) -> str:
    if pd.isna(row["budget_value"]):
        return str(row["curve"])
    return f"{row['curve']} {row['budget']}={row['budget_value']:g}"


def _cell(row: dict[Any, Any]) -> str:
    value, interval = measured(row["value"], row["low"], row["high"])
    return f"{value} {interval}".strip() + ("" if row["warning"] is None or pd.isna(row["warning"]) else " *")


def notes(found: Added) -> list[str]:
    """How the numbers were made, and why some should not be trusted."""
    lines = [f"{name}: {about(metric)}" for name, metric in found.metrics.items()]
    lines.append(f"images: {found.drawn}")
    lines += [f"* {line}" for line in warnings(found.values)]
    for extractor, computed in found.done.computed.items():
        lines.append(f"features of {extractor}: {computed:,} computed, {found.done.there[extractor]:,} were there")
    if found.done.replayed:
        differ = found.done.differing
        ours = f"; {differ:,} have other pixels than the run's" if differ else ", all with the run's pixels where known"
        lines.append(f"{found.done.replayed:,} images were made again from their recipes{ours}")
    return lines
