"""Measure the harness with engines that only sleep: 64 segments in 50 ms, as on a fast GPU."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from bench.benchmarks.harness import CURVE
from bench.benchmarks.windows import Length, steady
from bench.report.scaling import Uncollected
from bench.run.driver import Driver, RunProgress
from bench.study.config import RunConfig
from bench.study.study import Study
from bench.workers.backends import make_pool
from bench.workers.pool import Pool
from tts.settings import parse

BATCH = 64
PASS_SECONDS = 0.025  # a segment of Heun's second-order sampler takes two passes
WARM_UP = 5.0


class _Over(Exception):
    """The window has ended."""


@dataclass(frozen=True)
class Share:
    """A window of a run: share of the ideal throughput, segments a second, the driver's CPU ms for 1000 segments."""

    share: float
    segments_per_second: float
    driver_ms: float


@dataclass
class Window:
    """Reads a run's counters some time after its first rows, and ends the run some seconds later."""

    seconds: float
    start: float | None = None
    marks: list[tuple[float, float, int]] = field(default_factory=list)

    def look(self, counts: RunProgress) -> None:
        """Called by the driver at every wait."""
        if self.start is None:
            self.start = time.perf_counter() if any(status.load.rows for status in counts.engines) else None
            return
        elapsed = time.perf_counter() - self.start
        if len(self.marks) == 0 and elapsed >= WARM_UP:
            self._mark(counts)
        elif len(self.marks) == 1 and elapsed >= WARM_UP + self.seconds:
            self._mark(counts)
            raise _Over

    def _mark(self, counts: RunProgress) -> None:
        rows = sum(status.load.rows for status in counts.engines)
        self.marks.append((time.perf_counter(), time.process_time(), rows))

    def share(self, engines: int) -> Share:
        """The figures of the window."""
        (begin, cpu_begin, rows_begin), (end, cpu_end, rows_end) = self.marks
        segments = (rows_end - rows_begin) / 2
        ideal = engines * BATCH / (2 * PASS_SECONDS) * (end - begin)
        return Share(segments / ideal, segments / (end - begin), (cpu_end - cpu_begin) * 1e3 / (segments / 1e3))


def simulated_study(
    engines: int, search_on: str, seconds: float = PASS_SECONDS, search: dict[str, Any] | None = None
) -> Study:
    """A search (left out: epsilon-greedy) with so many problems that they do not end; every step injects noise."""
    values = {
        "model": {"name": "cifar10", "sampler": {"steps": 12, "S_max": 1000.0}},
        "rewards": ["brightness"],
        "searches": [search or CURVE["eps_greedy"]],
        "problems": {"conditions": "all", "seeds": 100_000},
        "engines": {"backend": "ray", "count": engines, "batch": BATCH, "simulate": seconds, "search_on": search_on},
        "output": "unused",
    }
    return Study(parse(RunConfig, values, "benchmark"))


def harness_share(engines: int, search_on: str, seconds: float = 15.0) -> Share:
    """Run engines that sleep for a while; see :class:`Share`."""
    study = simulated_study(engines, search_on)
    with closing(make_pool(study)) as pool:
        return watch(study, pool, seconds)


@dataclass(frozen=True)
class DriverCost:
    """The driver's CPU time: milliseconds for a thousand evaluations, and the share of one core that it took."""

    search: str
    search_on: str
    engines: int
    evaluations_per_second: float
    driver_ms: float
    core: float


def driver_cost(search: str, engines: int, search_on: str, length: Length) -> DriverCost:
    """Watch the driver of engines that sleep.

    Args:
        search: of :data:`bench.benchmarks.harness.CURVE`, one that is made of single steps, which take two passes.
        search_on: ``driver`` or ``engine``.
    """
    study = simulated_study(engines, search_on, search=CURVE[search])
    with closing(make_pool(study)) as pool:
        window = steady(study, pool, length)
    seconds, evaluations = window.seconds / window.engines, window.load.rows / 2
    rate = evaluations / seconds
    ms = window.driver_seconds * 1e3 / (evaluations / 1e3)
    return DriverCost(search, search_on, engines, rate, ms, window.driver_seconds / seconds)


def watch(study: Study, pool: Pool, seconds: float) -> Share:
    """Drive a pool for a while."""
    window = Window(seconds)
    try:
        Driver(study, pool, Uncollected(), progress=window.look).run()
    except _Over:
        return window.share(pool.engines)
    raise AssertionError("the problems came to an end")
