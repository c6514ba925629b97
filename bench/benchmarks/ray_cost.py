"""Measure what Ray costs: one engine in this process against one actor, in alternation."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from statistics import median
from typing import Any

from bench.benchmarks.harness import endless
from bench.benchmarks.windows import Length, steady
from bench.study.study import Study
from bench.workers.backends import make_pool


@dataclass(frozen=True)
class RayCost:
    """Rows a second while the engine was fed, by rounds.

    Args:
        local: of an engine in the driver's own process.
        ray: of an actor.
    """

    search: str
    local: list[float]
    ray: list[float]

    @property
    def ratio(self) -> float:
        """An actor's rate over the local engine's: the median of the rounds' ratios."""
        return median(actor / own for own, actor in zip(self.local, self.ray, strict=True))

    def record(self) -> dict[str, Any]:
        """The figures as plain values."""
        return {"search": self.search, "local": self.local, "ray": self.ray, "ratio": self.ratio}


def ray_cost(search: str, studies: dict[str, Study], length: Length, rounds: int) -> RayCost:
    """Measure both in alternation.

    Args:
        search: its label.
        studies: one study by its backend, ``local`` and ``ray``, each with one engine.
        length: length of each window.
        rounds: of one window each.
    """
    fed = {backend: endless(study, "driver") for backend, study in studies.items()}
    rates: dict[str, list[float]] = {"local": [], "ray": []}
    with closing(make_pool(fed["local"])) as local, closing(make_pool(fed["ray"])) as actor:
        for _ in range(rounds):
            for backend, pool in (("local", local), ("ray", actor)):
                rates[backend].append(steady(fed[backend], pool, length).rows_per_second)
    return RayCost(search, rates["local"], rates["ray"])
