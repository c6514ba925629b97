"""Measure engines against the bare network, and where the rest of their time goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from statistics import mean
from typing import Any, Generic, TypeAlias, TypeVar

from bench.benchmarks.bare import Bare, BareRate
from bench.benchmarks.harness import Timed, endless, timed
from bench.benchmarks.windows import Length, Window, steady
from bench.study.study import Study
from bench.workers.backends import make_pool
from bench.workers.pool import Pool

T = TypeVar("T", Window, Timed)
Around: TypeAlias = AbstractContextManager[Any]


@dataclass(frozen=True)
class Beside(Generic[T]):
    """What engines did while the bare network computed on the same cores.

    Both lose the same by all else that the machine does, so that their CPU time can be compared to a percent where
    rates swing by a fifth. The bare network computes only while engines do: alone it would be 4 to 7 % faster, as
    nothing else were in the caches.
    """

    engines: T
    bare: BareRate


@dataclass(frozen=True)
class Cell:
    """One search with some problems open at a time.

    Args:
        search: its label.
        open_problems: number of open problems; None: as many as the engines need.
        window: what the engines did while they were fed.
        forwards: denoiser forwards of one row; two with guidance.
        bare: forwards of the bare network, the mean of before and after.
        batch: rows of a pass.
        whole: a whole run of as many problems, with its start and end, if one was made.
        beside: the same window once more beside the bare network, if engines compute on CPUs.
        wholes_beside: whole runs beside the bare network, as many as fill a window's time.
    """

    search: str
    open_problems: int | None
    window: Window
    forwards: int
    bare: BareRate
    batch: int
    whole: Timed | None = None
    beside: Beside[Window] | None = None
    wholes_beside: tuple[Beside[Timed], ...] = ()

    @property
    def rate(self) -> float:
        """Forwards a second that were not padding."""
        return self.window.rows_per_second * self.forwards

    @property
    def efficiency(self) -> float:
        """Share of the bare network's rate, while the engines were fed."""
        return self.rate / self.bare.per_second

    @property
    def cpu_efficiency(self) -> float | None:
        """The same for a second of CPU time of the engines' processes; a local one's has the driver in it as well."""
        if self.beside is None:
            return None
        return self.beside.engines.rows_per_cpu_second * self.forwards / self.beside.bare.per_cpu_second

    @property
    def full(self) -> float:
        """Share of the rows of all passes that were not padding."""
        return self.window.full(self.batch)

    @property
    def whole_efficiency(self) -> float | None:
        """Share of the bare network's rate over the whole run."""
        return None if self.whole is None else self.whole.nfe_per_second / self.bare.per_second

    @property
    def whole_cpu_efficiency(self) -> float | None:
        """The same for a second of CPU time of the engines' processes."""
        ratios = [
            run.engines.nfe / run.engines.engine_cpu_seconds / run.bare.per_cpu_second for run in self.wholes_beside
        ]
        return mean(ratios) if ratios else None

    @property
    def whole_full(self) -> float | None:
        """Share of the rows of the whole run's passes that were not padding."""
        return None if self.whole is None else self.whole.full(self.batch)

    def record(self) -> dict[str, Any]:
        """The figures as plain values."""
        whole = None if self.whole is None else {"images": self.whole.images, "seconds": self.whole.seconds}
        return {
            "search": self.search,
            "open_problems": self.open_problems,
            "rows_per_second": self.rate,
            "bare_rows_per_second": self.bare.per_second,
            "batch": self.batch,
            "efficiency": self.efficiency,
            "cpu_efficiency": self.cpu_efficiency,
            "full": self.full,
            "cpu_full": None if self.beside is None else self.beside.engines.full(self.batch),
            "shares": self.window.shares(),
            "window_seconds": self.window.seconds / self.window.engines,
            "driver_share": self.window.driver_seconds / (self.window.seconds / self.window.engines),
            "whole_efficiency": self.whole_efficiency,
            "whole_cpu_efficiency": self.whole_cpu_efficiency,
            "whole_full": self.whole_full,
            "whole_least_full": None if self.whole is None else self.whole.least_full(self.batch),
            "whole": whole,
        }


@dataclass(frozen=True)
class Sizes:
    """What to measure.

    Args:
        open_problems: numbers of problems open at a time.
        length: length of each window.
        bare_seconds: seconds of the bare network before, between and after the windows.
        whole: labels of searches that also get whole runs.
    """

    open_problems: tuple[int, ...] = (10, 40)
    length: Length = field(default_factory=Length)
    bare_seconds: float = 2.0
    whole: tuple[str, ...] = ()


def cells(studies: dict[str, Study], sizes: Sizes, search_on: str = "driver") -> Iterator[Cell]:
    """Measure, the bare network in alternation with the runs.

    Args:
        studies: by their searches' labels; they differ in searches and problems only. Whole runs are of a study's own
            problems.
        search_on: ``engine`` takes new engines for each window and as many problems as they need.
    """
    first = next(iter(studies.values()))
    opened: tuple[int | None, ...] = sizes.open_problems if search_on == "driver" else (None,)
    plan = [(label, study, limit) for label, study in studies.items() for limit in opened]
    shared = make_pool(endless(first, "driver")) if search_on == "driver" else None
    seeds = count(1)
    with closing(Bare(first)) as bare:
        try:
            before = bare.rate(sizes.bare_seconds)
            for label, study, limit in plan:
                run = label in sizes.whole and limit == opened[-1]
                window = _window(_fresh(endless(study, search_on), seeds), shared, sizes.length, limit)
                whole = _whole(_fresh(study, seeds), shared) if run else None
                after = bare.rate(sizes.bare_seconds)
                usual = BareRate(*((one + two) / 2 for one, two in zip(before, after, strict=True)))
                cell = Cell(label, limit, window, bare.passes, usual, int(study.config.engines.batch), whole)
                if study.config.engines.device == "cpu":
                    again = partial(_window, _fresh(endless(study, search_on), seeds), shared, sizes.length, limit)
                    runs = (_fresh(study, seeds) for _ in count())
                    wholes = _wholes_beside(bare, runs, shared, sizes.length.seconds) if run else ()
                    cell = replace(cell, beside=_beside(bare, shared, again), wholes_beside=wholes)
                yield cell
                before = after
        finally:
            if shared is not None:
                shared.close()


def _beside(bare: Bare, shared: Pool | None, run: Callable[[Around], T]) -> Beside[T]:
    engines = run(bare.at_work(getattr(shared, "processes", ())))
    return Beside(engines, bare.found)


def _wholes_beside(
    bare: Bare, studies: Iterator[Study], shared: Pool | None, seconds: float
) -> tuple[Beside[Timed], ...]:
    runs: list[Beside[Timed]] = []
    while sum(run.engines.seconds for run in runs) < seconds:
        runs.append(_beside(bare, shared, partial(_whole, next(studies), shared)))
    return tuple(runs)


def _fresh(study: Study, seeds: Iterator[int]) -> Study:
    """The study with noises that no engine has made before."""
    return Study(study.config.model_copy(update={"seed": next(seeds)}))


def _window(
    study: Study, shared: Pool | None, length: Length, limit: int | None, around: Around | None = None
) -> Window:
    if shared is not None:
        return steady(study, shared, length, limit, around)
    with closing(make_pool(study)) as pool:
        return steady(study, pool, length, around=around)


def _whole(study: Study, shared: Pool | None, around: Around | None = None) -> Timed:
    if shared is None:
        return timed(study, around=around)
    engines = study.config.engines.model_copy(update={"search_on": "driver"})
    return timed(Study(study.config.model_copy(update={"engines": engines})), shared, around)
