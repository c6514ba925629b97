"""Measure a run while all its engines are fed: rows per second, and where their time goes.

A window begins when the engines are warm and ends before the first problem is missing, so that neither start-up nor the
last problems' tail is in it.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.report.scaling import Uncollected
from bench.run.driver import Driver, RunProgress
from bench.study.study import Study
from bench.workers.pool import Pool, WorkerReport
from bench.workers.search_runner import SearchRunner
from tts.engine.requests import EngineCounters

SHARES = ("denoiser", "decode", "reward", "noise", "host", "idle")
"""Parts of an engine's time; ``host`` is the rest."""


class _Over(Exception):
    """The window has ended."""


@dataclass(frozen=True)
class Length:
    """Seconds of a window, and of the engines' warm-up before it."""

    seconds: float = 5.0
    warm_up: float = 2.0


@dataclass(frozen=True)
class Window:
    """The engines' work in a window.

    Args:
        seconds: the window's length, summed over engines.
        engines: how many there were.
        load: their work in it, summed.
        cpu: their processes' CPU seconds in it, summed.
        driver_seconds: the driver's CPU time in it.
        outcomes: jobs (of hosts: trials) that came back.
    """

    seconds: float
    engines: int
    load: EngineCounters
    driver_seconds: float
    outcomes: int
    cpu: float = 0.0

    @property
    def rows_per_second(self) -> float:
        """Rows that were not padding, of all engines together; without the second forward of guidance."""
        return self.load.rows / self.seconds * self.engines

    @property
    def rows_per_cpu_second(self) -> float:
        """The same for a CPU second of the engines' processes."""
        return self.load.rows / self.cpu

    def full(self, batch: int) -> float:
        """Share of the rows of all passes that were not padding."""
        return self.load.rows / max(1, self.load.batches * batch)

    def shares(self) -> dict[str, float]:
        """Shares of the engines' time by :data:`SHARES`; they add up to 1."""
        load = self.load
        known = (load.seconds, load.decode, load.reward, load.noise, load.idle)
        denoiser, decode, reward, noise, idle = (part / self.seconds for part in known)
        host = 1 - sum(known) / self.seconds
        return dict(zip(SHARES, (denoiser, decode, reward, noise, host, idle), strict=True))

    def record(self) -> dict[str, Any]:
        """The figures as plain values."""
        return {**asdict(self), "rows_per_second": self.rows_per_second, "shares": self.shares()}


@dataclass
class Watched:
    """A pool that records when its engines reported what; it has the methods of :class:`bench.workers.pool.Pool`.

    An engine's window lies between two of its own messages, as only these say what it has done by then.
    """

    pool: Pool
    first: dict[int, WorkerReport] = field(default_factory=dict)
    last: dict[int, WorkerReport] = field(default_factory=dict)
    latest: dict[int, WorkerReport] = field(default_factory=dict)
    outcomes: int = 0
    watching: bool = False
    under_way: set[int] = field(default_factory=set)
    tickets: list[list[int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.engines = self.pool.engines
        self.tickets = [[] for _ in range(self.engines)]

    def submit(self, engine: int, jobs: Sequence[Any], released: Iterable[int]) -> None:
        """Also note the tickets that are under way."""
        tickets = [job.ticket for job in jobs if hasattr(job, "ticket")]
        self.under_way.update(tickets)
        self.tickets[engine] += tickets
        self.pool.submit(engine, jobs, released)

    def wait(self) -> list[WorkerReport]:
        """Also note the tickets that have come back."""
        found = self.pool.wait()
        for report in found:
            self.under_way.difference_update(
                outcome.ticket for outcome in report.outcomes if hasattr(outcome, "ticket")
            )
            if report.lost is None and report.device is None:
                self.latest[report.engine] = report
            if self.watching:
                self._note(report)
        return found

    def settled(self) -> list[WorkerReport]:
        """What each engine has done by now; all of them must have nothing to do."""
        self.latest.clear()
        while len(self.latest) < self.engines:
            self.wait()
        return self.told()

    def told(self) -> list[WorkerReport]:
        """What each engine said last; with its last outcome that is all that it did, and no second of idling after."""
        return [self.latest[engine] for engine in range(self.engines)]

    def _note(self, report: WorkerReport) -> None:
        if report.engine not in self.first:
            self.first[report.engine] = report
        elif report.at > self.first[report.engine].at:
            self.last[report.engine] = report
            self.outcomes += len(report.outcomes)

    @property
    def flops(self) -> float | None:
        return self.pool.flops

    def describe(self) -> list[str | None]:
        return self.pool.describe()

    def close(self) -> None:
        self.pool.close()

    def seen(self, driver_seconds: float) -> Window:
        """The work between each engine's first and last message."""
        spans = [(self.first[engine], last) for engine, last in self.last.items()]
        seconds, cpu = (sum(getattr(end, at) - getattr(begin, at) for begin, end in spans) for at in ("at", "cpu"))
        load = sum((end.load - begin.load for begin, end in spans), EngineCounters())
        return Window(seconds, len(spans), load, driver_seconds, self.outcomes, cpu)

    def drain(self) -> None:
        """Let the engines finish and forget their work, so that another study can use them."""
        while self.under_way:
            self.wait()
        for engine, tickets in enumerate(self.tickets):
            self.pool.submit(engine, [], tickets)


class FewOpen(SearchRunner):
    """Searches of a limited number of trials at a time.

    Args:
        limit: how many.
    """

    def __init__(self, study: Study, pool: Pool, limit: int) -> None:
        super().__init__(study, pool)
        self.limit = limit

    def next_starved(self, among: Collection[int], left: int = 0) -> int | None:
        """No trial, while as many are open as may be."""
        return super().next_starved(among, left) if len(self.open) < self.limit else None


@dataclass
class _Look:
    """Called by the driver all the time: begins the window when engines are warm, and ends the run some time later."""

    watched: Watched
    length: Length
    around: AbstractContextManager[Any]
    window: ExitStack
    start: float = field(default_factory=time.perf_counter)
    cpu: float = 0.0

    def __call__(self, counts: RunProgress) -> None:
        elapsed = time.perf_counter() - self.start
        if not self.watched.watching and elapsed >= self.length.warm_up:
            self.watched.watching, self.cpu = True, time.process_time()
            self.window.enter_context(self.around)
        elif elapsed >= self.length.warm_up + self.length.seconds and self.watched.last:
            self.window.close()
            self.cpu = time.process_time() - self.cpu
            raise _Over


def steady(
    study: Study,
    pool: Pool,
    length: Length,
    open_problems: int | None = None,
    around: AbstractContextManager[Any] | None = None,
    drained: bool = True,
) -> Window:
    """Drive a pool for a while with more problems than that takes; see :func:`bench.benchmarks.harness.endless`.

    Args:
        study: may differ from the pool's own in searches and problems.
        pool: if searches run in the driver, it is left as it was; else it has trials that nobody waits for.
        length: of the window.
        open_problems: trials open at a time, if searches run in the driver; None: as many as the engines need.
        around: entered when the window begins and left when it ends, as a profiler is.
        drained: the pool is to be used again, so that what it has begun must end.
    """
    watched = Watched(pool)
    with ExitStack() as window:
        look = _Look(watched, length, around or nullcontext(), window)
        driver = Driver(study, watched, Uncollected(), progress=look)
        if open_problems is not None:
            driver.work = FewOpen(study, watched, open_problems)
        try:
            driver.run()
        except _Over:
            found = watched.seen(look.cpu)
            if drained and not study.beside:
                watched.drain()
            return found
    raise AssertionError("the problems came to an end")
