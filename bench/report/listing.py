"""Tables of registered plug-ins, and of an image before and after search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from bench.report.reference_docs import default
from bench.sinks.registry import SINKS
from tts.registry import METRICS, MODELS, REWARDS, SAMPLERS, SEARCHES

if TYPE_CHECKING:
    from bench.store.row import TrialRow

REGISTRIES: dict[str, Any] = {
    "models": MODELS,
    "samplers": SAMPLERS,
    "rewards": REWARDS,
    "searches": SEARCHES,
    "metrics": METRICS,
    "sinks": SINKS,
}


def listing(kind: str) -> Table:
    """Every registered name with its summary, and its settings with their defaults."""
    table = Table("name", "what it is", "settings", title=kind, title_justify="left")
    registry = REGISTRIES[kind]
    for name in registry.targets:
        settings = registry.get(name)
        about = (settings.__doc__ or "").strip().splitlines()[0]
        table.add_row(name, escape(about), escape(_settings(settings)))
    return table


def _settings(settings: Any) -> str:
    lines = []
    for name, field in settings.model_fields.items():
        value = default(field).strip("`")  # as a configuration has it
        shown = {"": "", "required": " (required)", "its own": ""}.get(value, f" = {value}")
        lines.append(f"{field.alias or name}{shown}: {field.description}")
    return "\n".join(lines)


def before_and_after(before: TrialRow, after: TrialRow) -> Table:
    """Rewards and cost of the plain and of the searched image."""
    table = Table("", "before", "after", title=f"{after.search} on {after.reward}: {after.label}", title_justify="left")
    for name, value in after.scores.items():
        table.add_row(name, _number(before.scores[name]), _number(value))
    table.add_row("NFE", f"{before.nfe:,}", f"{after.nfe:,}")
    return table


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
