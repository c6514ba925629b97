"""The table of a run's curves for a terminal."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
from rich import box
from rich.table import Table
from rich.text import Text

from bench.statistics.curves import count_text

ABSENT = "-"
DERIVED = "*"
SIGNIFICANT = 0.05


def render(curves: pd.DataFrame) -> Table:
    """One row for each point, one column for each reward.

    Args:
        curves: as :func:`bench.statistics.curves.curves` makes them.

    Returns:
        A table that fits 100 columns with three rewards; each reward's best mean is bold. Points that were not run
        but derived from a larger best-of-N have an asterisk.
    """
    rewards = list(dict.fromkeys(curves["reward"]))
    best = curves.groupby("reward")["mean"].max().to_dict()
    table = _empty_table(rewards)
    for point in _points(curves):
        found = {row["reward"]: row for row in point.to_dict("records")}
        cells = [_cell(found.get(reward), best[reward]) for reward in rewards]
        first = point.iloc[0]
        table.add_row(Text(str(first["curve"])), Text(_budget(first)), _number(point["nfe"].mean(), 0), *cells)
    if len(curves):
        about = f"mean [95 % interval], best in bold; {count_text(curves)}"
        if curves["derived"].any():
            about += f"\n{DERIVED} not run: from the samples of the largest N"
        table.caption = Text(about, style="dim", no_wrap=True, overflow="ignore")
    return table


def render_gains(compared: pd.DataFrame, baseline: str) -> Table:
    """One row for each point, one column for each reward: what it gains over the baseline on the same problems.

    Args:
        compared: as :func:`bench.statistics.comparisons.compare_to` makes them.
    """
    rewards = list(dict.fromkeys(compared["reward"]))
    table = _empty_table(rewards)
    for point in _points(compared):
        found = {row["reward"]: row for row in point.to_dict("records")}
        cells = [_gain(found.get(reward)) for reward in rewards]
        first = point.iloc[0]
        table.add_row(Text(str(first["curve"])), Text(_budget(first)), _number(point["nfe"].mean(), 0), *cells)
    about = f"gain over {baseline} on the same problems [95 % interval]; bold: p < 0.05 after Holm's correction"
    table.caption = Text(about, style="dim", no_wrap=True, overflow="ignore")
    return table


def _gain(row: dict[Any, Any] | None) -> Text:
    if row is None:
        return Text(ABSENT)
    text = Text(_number(row["difference"]), style="bold" if row["p_holm"] < SIGNIFICANT else "")
    if not math.isnan(row["low"]):
        text.append(f" [{_number(row['low'])}, {_number(row['high'])}]")
    return text


def _empty_table(rewards: list[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), caption_justify="left")
    # a long label wraps, so that the numbers need not
    table.add_column("search", overflow="fold", max_width=22)
    table.add_column("budget", no_wrap=True)
    table.add_column("NFE", justify="right", no_wrap=True)
    for reward in rewards:
        table.add_column(reward, justify="right", overflow="fold")
    return table


def _points(curves: pd.DataFrame) -> list[pd.DataFrame]:
    """The curves' rows, those of one point (one line of the table) together, by curve and NFE."""
    order = {curve: place for place, curve in enumerate(dict.fromkeys(curves["curve"]))}
    groups = curves.groupby(["curve", "settings", "budget_value"], dropna=False, sort=False)
    points = [group for _, group in groups]
    return sorted(points, key=lambda point: (order[point["curve"].iloc[0]], float(point["nfe"].mean())))


def _budget(row: pd.Series[Any]) -> str:
    if pd.isna(row["budget"]):
        return ABSENT
    return f"{row['budget']}={row['budget_value']:g}{DERIVED if row['derived'] else ''}"


def _cell(row: dict[Any, Any] | None, best: float) -> Text:
    """``mean [low, high]``, and below it how many images could not be scored."""
    if row is None:
        return Text(ABSENT)
    text = Text(_number(row["mean"]), style="bold" if row["mean"] == best else "")
    if not math.isnan(row["low"]):
        text.append(f" [{_number(row['low'])}, {_number(row['high'])}]")
    if row["unscored"]:
        text.append(f"\n{row['unscored']} unscored", style="not bold italic")
    return text


def _number(value: float, decimals: int = 3) -> str:
    return ABSENT if math.isnan(value) else f"{value:.{decimals}f}"
