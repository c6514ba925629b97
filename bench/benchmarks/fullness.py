"""How full the passes of whole runs are, counted: engines in lock step, with a network that costs nothing.

Nothing is timed, so the figures are the same on every machine.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Annotated, Any

import typer
from rich.table import Table

from bench.benchmarks.app import RESULTS, Batch, ChosenSearches, Output, app, numbers, out, percent, save
from bench.benchmarks.harness import CURVE, endless, make_study
from bench.benchmarks.windows import FewOpen
from bench.run.driver import Driver, RunProgress
from bench.store.row import TrialRow
from bench.study.study import Study
from bench.workers.pool import WorkerReport, collect
from tts.engine.requests import EngineCounters
from tts.errors import SearchError

SEARCHES: dict[str, dict[str, Any]] = {**CURVE, "fk": {"name": "fk", "k": 4}, "trs": {"name": "trs", "N": 16}}
"""The searches counted."""

UNLIMITED = 1024
"""Rows of a pass that holds all rows that wait."""


FED = range(100, 300)
"""Ticks in which passes are counted while other problems follow those that end."""

BATCHES = (40, 32, 24, 20, 16, 12, 10, 8, 6, 5, 4, 3, 2, 1)
"""Rows of passes to choose from."""


@dataclass(frozen=True)
class Counted:
    """A whole run.

    Args:
        search, problems, engines, batch: what ran.
        passes, rows: of each engine; rows without padding.
        ticks: times in which each engine could make one pass.
        first: the tick after which the first row was there.
    """

    search: str
    problems: int
    engines: int
    batch: int
    passes: list[int]
    rows: list[int]
    ticks: int
    first: int

    @property
    def full(self) -> float:
        """Share of the rows of all passes that were not padding."""
        return sum(self.rows) / (sum(self.passes) * self.batch)

    @property
    def whole(self) -> float:
        """Share of all rows that the engines could have computed in the run's time: an engine without work counts."""
        return sum(self.rows) / (self.ticks * self.engines * self.batch)


class LockStep:
    """Engines in this process of which each makes a pass at a time; a :class:`bench.workers.pool.Pool`.

    Args:
        study: whose sampler; the network is one of a formula.
        late: passes that an engine makes before the driver has the results of its last one.
    """

    flops = None

    def __init__(self, study: Study, late: int = 0) -> None:
        from tts.engine.batching import Engine
        from tts.models.cifar10 import Cifar10
        from tts.samplers.schedules import Sigmas
        from tts.testing.toy_model import ToyModel

        assert isinstance(study.model, Cifar10)  # made by make_study
        sampler, settings = study.model.sampler.on(Sigmas()), study.config.engines
        self.engines = settings.count
        self.computed: list[int] = []
        """Rows of all engines, pass by pass."""
        rewards = {name: reward.load() for name, reward in study.rewards.items()}
        self.workers = [Engine(ToyModel(sampler), rewards, settings.batch, host_threads=0) for _ in range(self.engines)]
        self._late: deque[list[WorkerReport]] = deque([] for _ in range(late))

    def submit(self, engine: int, jobs: Sequence[Any], released: Iterable[int]) -> None:
        self.workers[engine].submit(jobs)
        self.workers[engine].release(released)

    def wait(self) -> list[WorkerReport]:
        """One pass of every engine that has anything to do; returns what they said some passes ago."""
        before = sum(worker.load.rows for worker in self.workers)
        busy = [(engine, worker) for engine, worker in enumerate(self.workers) if worker.busy]
        self._late.append([collect(engine, worker, worker.advance()) for engine, worker in busy])
        self.computed.append(sum(worker.load.rows for worker in self.workers) - before)
        return self._late.popleft()

    def describe(self) -> list[str | None]:
        return ["lock step"] * self.engines

    def close(self) -> None:
        for worker in self.workers:
            worker.close()


class _Rows:
    """Notes when the first row came.

    Args:
        pool: where it comes from.
    """

    full = False

    def __init__(self, pool: LockStep) -> None:
        self.pool, self.first = pool, 0

    def add(self, row: TrialRow) -> None:
        """Note the time of the first one.

        Raises:
            SearchError: the trial failed.
        """
        if row.error is not None:
            raise SearchError(row.error)
        self.first = self.first or len(self.pool.computed)

    def tick(self) -> None:
        """Do nothing."""


def study_of(search: str, problems: int, engines: int, batch: int, steps: int) -> Study:
    """Problems of one search of :data:`SEARCHES`."""
    settings: dict[str, Any] = {"backend": "ray", "count": engines, "batch": batch, "search_on": "driver"}
    return make_study(SEARCHES[search], problems, steps=steps, **settings)


def counted(study: Study, late: int = 0) -> Counted:
    """Run a study; see :class:`LockStep`."""
    with closing(LockStep(study, late)) as pool:
        rows = _Rows(pool)
        Driver(study, pool, rows).run()
        loads = [worker.load for worker in pool.workers]
    settings = study.config.engines
    passes, done = [load.batches for load in loads], [load.rows for load in loads]
    sizes = (study.problems, settings.count, settings.batch)
    return Counted(study.entries[0].name, *sizes, passes, done, len(pool.computed), rows.first)


class _Over(Exception):
    """Enough is counted."""


def fed(study: Study, late: int = 0, ticks: range = FED) -> float:
    """Share of the rows of all passes that are not padding while a problem follows each that ends.

    Args:
        study: has as many problems as are open at a time.
    """
    with closing(LockStep(study, late)) as pool:
        counts: list[EngineCounters] = []

        def look(_: RunProgress) -> None:
            if len(pool.computed) in (ticks.start, ticks.stop):
                counts.append(sum((worker.load for worker in pool.workers), EngineCounters()))
            if len(counts) == 2:
                raise _Over

        driver = Driver(endless(study), pool, _Rows(pool), progress=look)
        driver.work = FewOpen(endless(study), pool, study.problems)
        with suppress(_Over):
            driver.run()
    load = counts[1] - counts[0]
    return load.rows / (load.batches * study.config.engines.batch)


def best_passes(study: Study, search: str) -> int | None:
    """Passes of an engine that no order of work can do without, if problems are shared out evenly.

    Args:
        study: of this search of :data:`SEARCHES`.

    Returns:
        None if a pass without limit would be too large to find out.
    """
    settings = study.config.engines
    alone = study_of(search, -(-study.problems // settings.count), 1, UNLIMITED, study.plan.steps)
    with closing(LockStep(alone)) as pool:
        Driver(alone, pool, _Rows(pool)).run()
    rows = [each for each in pool.computed if each]
    return None if max(rows) == UNLIMITED else fewest(rows, settings.batch)


def filled_batch(search: str, problems: int, engines: int, steps: int) -> int:
    """The batch that so few problems fill best in a whole run, to a percent; the largest one of several."""
    return max(BATCHES, key=lambda batch: round(counted(study_of(search, problems, engines, batch, steps)).full, 2))


def fewest(rows: list[int], batch: int) -> int:
    """Passes of a batch's rows that are needed at least.

    A trial goes on no faster than if passes had no limit. So a run's first and last passes have no more rows than those
    without limit, and what a batch lacks there is lost.

    Args:
        rows: of each pass without limit.
    """
    (first, at_start), (last, at_end) = (_lost(order, batch) for order in (rows, rows[::-1]))
    apart = first + last <= (sum(rows) + at_start + at_end) / batch  # or they would be counted twice
    lost = at_start + at_end if apart else max(at_start, at_end)
    return max(len(rows), math.ceil((sum(rows) + lost) / batch))


def _lost(rows: list[int], batch: int) -> tuple[int, int]:
    """In how many passes from the start most rows are missing, and how many."""
    behind = [0, *(batch * passes - done for passes, done in enumerate(accumulate(rows), 1))]
    most = max(behind)
    return behind.index(most), most


@app.command("fullness")
def fullness(
    searches: ChosenSearches = None,
    problems: Annotated[str, typer.Option(help="Numbers of problems.")] = "10,40",
    count: Annotated[int, typer.Option(min=1, help="Engines.")] = 2,
    batch: Batch = 32,
    steps: Annotated[int, typer.Option(min=4, help="Of a trajectory.")] = 18,
    late: Annotated[int, typer.Option(min=0, help="Passes that an engine makes before an answer to its last.")] = 0,
    output: Output = RESULTS,
) -> None:
    """Share of rows in the passes of whole runs that are not padding, counted; nothing is timed."""
    table = Table(
        *("search", "problems", "passes", "at least", "full", "at most", "of the time", "first row", "fed"),
        title=f"Passes of {batch} rows, {count} engines, {steps} steps",
        caption="at least, at most: in any order; of the time: an engine without work counts; first row: after so "
        "much; fed: full while problems follow",
    )
    records = []
    for search in searches or SEARCHES:
        for number in numbers(problems):
            study = study_of(search, number, count, batch, steps)
            found, best = counted(study, late), best_passes(study, search)
            bound = None if best is None else sum(found.rows) / (best * count * batch)
            shares = {"full": found.full, "bound": bound, "whole": found.whole, "fed": fed(study, late)}
            records.append({**asdict(found), "best_passes": best, **shares})
            table.add_row(*_cells(found, best, bound), percent(records[-1]["fed"]))
    out.print(table)
    save(output / "fullness.json", records)


def _cells(found: Counted, best: int | None, bound: float | None) -> list[str]:
    passes = " ".join(map(str, found.passes))
    shares = [percent(found.full), "" if bound is None else percent(min(1.0, bound)), percent(found.whole)]
    first = percent(found.first / found.ticks)
    return [found.search, str(found.problems), passes, "" if best is None else str(best), *shares, first]
