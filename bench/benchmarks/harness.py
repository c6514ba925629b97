"""Studies to measure, and how long they take without start-up."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from bench.backends import make_pool
from bench.config import RunConfig
from bench.driver import Driver
from bench.study import Study
from tts.settings import parse

CURVE: dict[str, dict[str, Any]] = {
    "naive": {"name": "naive"},
    "best_of_n": {"name": "best_of_n", "N": 4},
    "random": {"name": "random", "N": 4},
    "beam": {"name": "beam", "N": 4, "B": 2},
    "mcts": {"name": "mcts", "N": 4, "S": 4},
    "zero_order": {"name": "zero_order", "N": 4, "K": 2},
    "eps_greedy": {"name": "eps_greedy", "N": 4, "K": 2},
}
"""The searches measured, at settings small enough for a CPU."""


@dataclass
class Count:
    """A sink that only counts."""

    rows: int = 0

    def add(self, row: dict[str, Any]) -> None:
        """Count a row."""
        self.rows += 1

    def tick(self) -> None:
        """Nothing waits."""


@dataclass(frozen=True)
class Timed:
    """A run without its start-up: images finished, denoiser rows computed, forward passes, seconds."""

    images: int
    nfe: int
    passes: int
    seconds: float

    @property
    def rows_per_second(self) -> float:
        """Denoiser rows a second, padding not counted."""
        return self.nfe / self.seconds

    @property
    def images_per_second(self) -> float:
        """Finished trials a second."""
        return self.images / self.seconds


def make_study(search: dict[str, Any], problems: int, reward: str = "brightness", **engines: Any) -> Study:
    """A study of one search and one reward on the embedded model, ``problems`` a multiple of ten or one."""
    conditions, seeds = ([0], 1) if problems == 1 else ("all", problems // 10)
    values = {
        "model": "cifar10",
        "rewards": [reward],
        "searches": [search],
        "problems": {"conditions": conditions, "seeds": seeds},
        "engines": engines,
        "output": "unused",
    }
    return Study(parse(RunConfig, values, "benchmark"))


def timed(study: Study) -> Timed:
    """Run a study without storing it."""
    pool, count = make_pool(study), Count()
    try:
        start = time.perf_counter()
        tally = Driver(study, pool, count).run()
        seconds = time.perf_counter() - start
    finally:
        pool.close()
    return Timed(count.rows, tally.nfe, sum(load.batches for load in tally.loads.values()), seconds)
