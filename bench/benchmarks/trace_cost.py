"""Measure the cost of storing every evaluation."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from statistics import median
from typing import Any

from bench.benchmarks.harness import CURVE, make_study, timed
from bench.study.study import Study
from bench.workers.backends import make_pool


@dataclass(frozen=True)
class TraceCost:
    """Runs with a trace against runs without, in alternation.

    Args:
        search: its name.
        wall: seconds with over seconds without, the median of the pairs.
        cpu: the same of the process's CPU time, which a busy machine changes less.
        harness_ms: CPU milliseconds more for a thousand forwards, on an engine that computes nothing.
    """

    search: str
    wall: float
    cpu: float
    harness_ms: float


def trace_cost(
    search: str = "eps_greedy", problems: int = 10, pairs: int = 3, steps: int = 6, batch: int = 32
) -> TraceCost:
    """Measure one search on the embedded model, one engine in this process."""
    plain, traced = (_study(search, problems, steps, trace, batch) for trace in (False, True))
    with closing(make_pool(plain)) as pool:
        timed(plain, pool)  # warm
        found = [(_spent(lambda: timed(plain, pool)), _spent(lambda: timed(traced, pool))) for _ in range(pairs)]
    wall, cpu = (median(after[k] / before[k] for before, after in found) for k in (0, 1))
    return TraceCost(search, wall, cpu, _harness_ms(search, problems, pairs))


def _study(search: str, problems: int, steps: int, trace: bool, batch: int = 32, **engines: Any) -> Study:
    study = make_study(CURVE[search], problems, steps=steps, backend="local", batch=batch, threads=1, **engines)
    return Study(study.config.model_copy(update={"trace": trace}))


def _spent(run: Callable[[], object]) -> tuple[float, float]:
    """Seconds and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - cpu


def _harness_ms(search: str, problems: int, pairs: int) -> float:
    """The additional CPU time, without a network."""
    spent = {False: 0.0, True: 0.0}
    nfe = 0
    for trace in [False, True] * pairs:
        study = _study(search, 10 * problems, 18, trace, simulate=0.0)
        with closing(make_pool(study)) as pool:
            cpu = time.process_time()
            nfe += timed(study, pool).nfe
            spent[trace] += time.process_time() - cpu
    return (spent[True] - spent[False]) * 1e3 / (nfe / 2 / 1e3)
