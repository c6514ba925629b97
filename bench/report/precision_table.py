"""What precisions change, for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from bench.run.precisions import Effect


def render(effects: Sequence[Effect], count: int) -> Table:
    """A line for each precision; of each reward the largest difference from float32 and the rank correlation."""
    rewards = list(dict.fromkeys(name for each in effects for name in each.rewards))
    table = Table("precision", "levels, largest", "mean", *rewards, title=f"Against float32, {count} trajectories")
    for each in effects:
        if each.levels is None:
            table.add_row(each.name, f"[yellow]{escape(each.fault or '')}")
            continue
        largest, mean = each.levels
        cells = [_reward(each.rewards.get(name)) for name in rewards]
        table.add_row(each.name, f"{largest:.0f}", f"{mean:.3f}", *cells)
    return table


def _reward(found: tuple[float, float | None] | None) -> str:
    if found is None:
        return ""
    difference, correlation = found
    return f"{difference:.2g}" + ("" if correlation is None else f" (rank {correlation:.3f})")
