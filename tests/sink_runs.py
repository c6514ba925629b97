"""Runs that sinks follow, and the values that sinks should get."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tiny_study import TINY

from bench.sinks.base import RunFacts
from bench.store import reader as store
from bench.study.config import RunConfig
from tts.settings import parse

SEARCHES: list[Any] = ["naive", {"name": "best_of_n", "budget": {"N": [2, 3]}}, {"name": "random", "N": 3}]
FACTS = RunFacts("a run", "0" * 32, "results/a-run", None, {"seed": 3})


def configured(folder: Path, *sinks: Any, **changes: Any) -> RunConfig:
    """A study of some searches, on an engine that computes nothing."""
    engines = {"backend": "local", "batch": 4, "simulate": 0.0}
    values = {**TINY, "searches": SEARCHES, "engines": engines, "output": str(folder), "sinks": list(sinks), **changes}
    return parse(RunConfig, values, "study")


def means(folder: Path) -> dict[str, float]:
    """Means of the stored rows, by reward and search."""
    frame = store.read(folder).to_pandas()
    found = frame.groupby(["reward", "search", frame["budget_value"].fillna(0)])["value"].mean()
    points = {"naive": "naive", "best_of_n": "best_of_n N=%g", "random": "random"}
    return {
        f"mean/{reward}/{points[name] % n if n else points[name]}": mean for (reward, name, n), mean in found.items()
    }
