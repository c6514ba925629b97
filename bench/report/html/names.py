"""Names of searches, points and settings for people."""

from __future__ import annotations

import json
from typing import Any

from bench.report.palette import SYMBOLS, look


def settings_text(settings: str) -> str:
    """``N = 4, λ = 0.15`` for a search's settings as JSON; ``none`` where it has none."""
    found: dict[str, Any] = json.loads(settings)
    pairs = [
        f"{SYMBOLS.get(name, name)} = {value if isinstance(value, str) else json.dumps(value)}"
        for name, value in found.items()
    ]
    return ", ".join(pairs) or "none"


def point_name(row: dict[Any, Any], name: str) -> str:
    """A point for people: its curve's name and its budget."""
    budget = row["budget"]
    return name if not isinstance(budget, str) else f"{name}, {SYMBOLS.get(budget, budget)} = {row['budget_value']:g}"


def search_name(search: str) -> str:
    """A search's name for people."""
    return look(search).name
