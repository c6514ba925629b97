"""Studies to measure, and their time without start-up."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.benchmarks.windows import Watched
from bench.run.driver import Driver
from bench.run.writer import Writer
from bench.store import manifest
from bench.store.writer import Store
from bench.study.config import RunConfig, load
from bench.study.study import Study
from bench.workers.backends import make_pool
from bench.workers.pool import Pool
from tts.engine.requests import EngineCounters
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


ENDLESS = 100_000  # seeds for each condition


@dataclass(frozen=True)
class Timed:
    """A whole run without its engines' start, its last problems' tail included: images, forwards, seconds.

    Args:
        cpu_seconds: of this process, where engines of the ``local`` backend are.
        loads: the engines' work.
        engine_cpu_seconds: of the engines' processes.
    """

    images: int
    nfe: int
    seconds: float
    cpu_seconds: float = 0.0
    loads: tuple[EngineCounters, ...] = ()
    engine_cpu_seconds: float = 0.0

    def full(self, batch: int) -> float:
        """Share of the rows of all passes that were not padding."""
        return sum(load.rows for load in self.loads) / (sum(load.batches for load in self.loads) * batch)

    def least_full(self, batch: int) -> float:
        """The same of the engine that was least full."""
        return min(load.rows / (load.batches * batch) for load in self.loads if load.batches)

    @property
    def nfe_per_second(self) -> float:
        """Denoiser forwards a second, padding not counted."""
        return self.nfe / self.seconds

    @property
    def images_per_second(self) -> float:
        """Finished trials a second."""
        return self.images / self.seconds


def make_study(
    search: dict[str, Any], problems: int, reward: str = "brightness", steps: int = 18, **engines: Any
) -> Study:
    """A study of one search and one reward on the embedded model, with as many classes as divide its problems."""
    classes = next(count for count in range(10, 0, -1) if problems % count == 0)
    conditions, seeds = "all" if classes == 10 else list(range(classes)), problems // classes
    values = {
        "model": {"name": "cifar10", "sampler": {"steps": steps}},
        "rewards": [reward],
        "searches": [search],
        "problems": {"conditions": conditions, "seeds": seeds},
        "engines": engines,
        "output": "unused",
    }
    return Study(parse(RunConfig, values, "benchmark"))


def studies_of(source: str, overrides: list[str], searches: list[str] | None) -> dict[str, Study]:
    """A configuration's searches, each as a study of its own on the first reward, by their labels.

    Args:
        searches: names; None: all of the configuration's.
    """
    config = load(source, overrides)
    chosen = [given for given in config.searches if not searches or _name(given) in searches]
    rewards, found = config.rewards[:1], {}
    for given in chosen:
        study = Study(config.model_copy(update={"searches": [given], "rewards": rewards, "held_out": []}))
        label = " ".join([study.entries[0].name, *(f"{k}={v}" for k, v in study.entries[0].algorithm.record().items())])
        found[label] = study
    return found


def endless(study: Study, search_on: str | None = None) -> Study:
    """The study with so many problems that they do not end, its searches run where they are told to."""
    config = study.config
    problems = config.problems.model_copy(update={"seeds": ENDLESS})
    engines = config.engines if search_on is None else config.engines.model_copy(update={"search_on": search_on})
    return Study(config.model_copy(update={"problems": problems, "engines": engines}))


def _name(given: str | dict[str, Any]) -> str:
    return given if isinstance(given, str) else str(given.get("name"))


def timed(study: Study, pool: Pool | None = None, around: AbstractContextManager[Any] | None = None) -> Timed:
    """Run a study as ``tts-bench run`` does, stored in a folder that is thrown away.

    Args:
        pool: that of another study with the same model, rewards and engines, if searches run in the driver; None: made,
            which is not timed.
        around: entered when the run begins, and left when it ends.
    """
    if pool is None:
        with closing(make_pool(study)) as made:
            return timed(study, made, around)
    watched = Watched(pool)
    before = watched.settled()
    with TemporaryDirectory() as folder:
        store = Store(Path(folder) / "run", study.rewards)
        store.open(study.digest(), manifest.build(study, [str(name) for name in pool.describe()]))
        start, computing = time.perf_counter(), time.process_time()
        with closing(Writer(store)) as writer, around or nullcontext():
            counts = Driver(study, watched, writer).run()
        seconds, computing = time.perf_counter() - start, time.process_time() - computing
    watched.drain()
    after = watched.told()
    loads = tuple(end.load - begin.load for begin, end in zip(before, after, strict=True))
    spent = sum(end.cpu - begin.cpu for begin, end in zip(before, after, strict=True))
    return Timed(counts.done, counts.nfe, seconds, computing, loads, spent)
