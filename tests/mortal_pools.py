"""Engines and search workers that die, and a driver that is killed; all in this process, without a model."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Any

from fake_pool import FakePool, Rows

from bench.store.row import TrialRow
from bench.study.study import Study
from bench.workers.pool import WorkerFailure, WorkerReport, collect
from bench.workers.search_worker import SearchWorker
from bench.workers.simulated import SimulatedEngine
from tts.engine.requests import EvalRequest


class MortalPool(FakePool):
    """Engines without a model that die now and then, lose their states, and come back empty.

    Args:
        chance: probability of a death at each wait.
        innocent: whether their machines die with them, so that no trial is to blame.
    """

    def __init__(self, engines: int, of: Study, coins: random.Random, chance: float, innocent: bool = False) -> None:
        super().__init__(engines, of, coins)
        self.chance, self.innocent, self.deaths = chance, innocent, 0
        self.away: set[int] = set()

    def submit(self, engine: int, jobs: Sequence[EvalRequest], released: Iterable[int]) -> None:
        """Submit jobs; a dead engine gets nothing, and a new one may be told to forget states that it never had."""
        if engine not in self.away:
            known = [key for key in released if key in self.states[engine]]
            super().submit(engine, jobs, known)

    def wait(self) -> list[WorkerReport]:
        back = [engine for engine in sorted(self.away) if self.coins.random() < 0.5]
        self.away -= set(back)
        found = [WorkerReport(engine, device="fake") for engine in back]
        for engine in range(self.engines):
            if engine in self.away or engine in back:
                continue
            if self.dies(engine):
                self.deaths += 1
                self.away.add(engine)
                self.jobs[engine], self.states[engine] = [], {}
                found.append(WorkerReport(engine, lost=WorkerFailure("killed", self.innocent)))
            else:
                found.append(self.reply(engine, self.coins.randint(0, len(self.jobs[engine]))))
        return found

    def dies(self, engine: int) -> bool:
        """Whether an engine dies now."""
        return self.coins.random() < self.chance


class PoisonedPool(MortalPool):
    """Engines that die when they get a segment of one condition."""

    def __init__(self, engines: int, of: Study, coins: random.Random, poison: int, innocent: bool = False) -> None:
        super().__init__(engines, of, coins, 0.0, innocent)
        self.poison = poison

    def dies(self, engine: int) -> bool:
        """Whether the engine has such a segment."""
        return any(job.segment.condition == self.poison for job in self.jobs[engine])


class HostPool:
    """Search workers in this process, with engines that take no time; they die now and then."""

    flops: float | None = None

    def __init__(self, engines: int, of: Study, coins: random.Random, chance: float) -> None:
        self.engines, self.of, self.coins, self.chance = engines, of, coins, chance
        self.hosts: list[SearchWorker | None] = [SearchWorker(of, SimulatedEngine(of)) for _ in range(engines)]
        self.deaths = 0

    def submit(self, engine: int, jobs: Sequence[Any], released: Iterable[int]) -> None:
        host = self.hosts[engine]
        if host is not None:
            host.submit(jobs)

    def wait(self) -> list[WorkerReport]:
        return [self._say(engine, host) for engine, host in enumerate(self.hosts)]

    def _say(self, engine: int, host: SearchWorker | None) -> WorkerReport:
        if host is None:
            self.hosts[engine] = SearchWorker(self.of, SimulatedEngine(self.of))
            return WorkerReport(engine, device="simulated")
        results = [result for _ in range(self.coins.randint(0, 3)) if host.busy for result in host.advance()]
        if self.dies():
            self.deaths += 1
            self.hosts[engine] = None
            return WorkerReport(engine, lost=WorkerFailure("killed", innocent=True))
        return collect(engine, host, results)

    def dies(self) -> bool:
        """Whether a host dies now."""
        return self.coins.random() < self.chance

    def describe(self) -> list[str | None]:
        return [None if host is None else "simulated" for host in self.hosts]

    def close(self) -> None:
        """Nothing to do."""


class Killed(BaseException):
    """Stands for the end of the driver's process."""


class MortalRows(Rows):
    """A sink whose driver is killed after some rows, the last few of which were not stored yet."""

    def __init__(self, stored: dict[str, dict[str, Any]], life: int, unstored: int) -> None:
        super().__init__(stored)
        self.life, self.unstored, self.taken = life, unstored, list[str]()

    def add(self, row: TrialRow) -> None:
        """Keep a row; after the last one, die."""
        super().add(row)
        self.taken.append(row.trial)
        if len(self.taken) >= self.life:
            for key in self.taken[len(self.taken) - min(self.unstored, len(self.taken)) :]:
                del self.rows[key]
            raise Killed


class PoisonedHosts(HostPool):
    """Search workers that die when they reach a trial of one condition; each has hundreds of trials."""

    def __init__(self, engines: int, of: Study, poison: int) -> None:
        super().__init__(engines, of, random.Random(0), 0.0)
        self.poison = poison

    def _say(self, engine: int, host: SearchWorker | None) -> WorkerReport:
        work = [] if host is None else [opened.trial for opened in host.searches.open.values()]
        if any((trial.condition, trial.search) == (self.poison, "mcts") for trial in work):
            self.deaths += 1
            self.hosts[engine] = None
            return WorkerReport(engine, lost=WorkerFailure("killed"))
        return super()._say(engine, host)
