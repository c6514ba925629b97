"""Engines that die at any moment, drivers that are killed at any moment: every trial has one row, the same one."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from test_driver import FakePool, Rows, study

from bench.run.driver import Driver
from bench.store.completed import CompletedTrials
from bench.store.row import TrialRow
from bench.store.schema import TIMED
from bench.study.study import Study
from bench.workers.pool import WorkerFailure, WorkerReport, collect
from bench.workers.search_worker import SearchWorker
from bench.workers.simulated import SimulatedEngine
from tts.engine.requests import EvalRequest
from tts.errors import EngineError

KILLS = 200


class MortalPool(FakePool):
    """Engines without a model that die now and then, with all that they hold, and come back empty.

    Args:
        chance: of a death at each wait.
        poison: identities of trials' conditions and seeds whose segments kill their engine.
    """

    def __init__(self, engines: int, of: Study, coins: random.Random, chance: float, innocent: bool = False) -> None:
        super().__init__(engines, of, coins)
        self.chance, self.innocent, self.deaths = chance, innocent, 0
        self.away: set[int] = set()

    def submit(self, engine: int, jobs: Sequence[EvalRequest], released: Iterable[int]) -> None:
        """An engine that is away hears nothing; one that has come back may be told to forget what it never had."""
        if engine not in self.away:
            known = [key for key in released if key in self.states[engine]]
            super().submit(engine, jobs, known)

    def wait(self) -> list[WorkerReport]:
        """See :class:`bench.workers.pool.Pool`."""
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
    """Engines that die of the segments of one condition."""

    def __init__(self, engines: int, of: Study, coins: random.Random, poison: int) -> None:
        super().__init__(engines, of, coins, 0.0)
        self.poison = poison

    def dies(self, engine: int) -> bool:
        """Whether such a segment is there."""
        return any(job.segment.condition == self.poison for job in self.jobs[engine])


class HostPool:
    """Hosts in this process, over engines that take no time; they die now and then."""

    def __init__(self, engines: int, of: Study, coins: random.Random, chance: float) -> None:
        self.engines, self.of, self.coins, self.chance = engines, of, coins, chance
        self.hosts: list[SearchWorker | None] = [SearchWorker(of, SimulatedEngine(of)) for _ in range(engines)]
        self.deaths = 0

    def submit(self, engine: int, jobs: Sequence[Any], released: Iterable[int]) -> None:
        """See :class:`bench.workers.pool.Pool`."""
        host = self.hosts[engine]
        if host is not None:
            host.submit(jobs)

    def wait(self) -> list[WorkerReport]:
        """See :class:`bench.workers.pool.Pool`."""
        return [self._say(engine, host) for engine, host in enumerate(self.hosts)]

    def _say(self, engine: int, host: SearchWorker | None) -> WorkerReport:
        if host is None:
            self.hosts[engine] = SearchWorker(self.of, SimulatedEngine(self.of))
            return WorkerReport(engine, device="simulated")
        results = [result for _ in range(self.coins.randint(0, 3)) if host.busy for result in host.advance()]
        if self.coins.random() < self.chance:
            self.deaths += 1
            self.hosts[engine] = None
            return WorkerReport(engine, lost=WorkerFailure("killed", innocent=True))
        return collect(engine, host, results)

    def describe(self) -> list[str | None]:
        """See :class:`bench.workers.pool.Pool`."""
        return [None if host is None else "simulated" for host in self.hosts]

    def close(self) -> None:
        """See :class:`bench.workers.pool.Pool`."""


class Killed(BaseException):
    """The driver's process ends here."""


class MortalRows(Rows):
    """A sink whose driver is killed when it has taken some rows; of those, the last few were not stored yet."""

    def __init__(self, stored: dict[str, dict[str, Any]], life: int, unstored: int) -> None:
        super().__init__(stored)
        self.life, self.unstored, self.taken = life, unstored, list[str]()

    def add(self, row: TrialRow) -> None:
        """Keep a row, and die."""
        super().add(row)
        self.taken.append(row.trial)
        if len(self.taken) >= self.life:
            for key in self.taken[len(self.taken) - min(self.unstored, len(self.taken)) :]:
                del self.rows[key]
            raise Killed


@pytest.fixture(scope="module")
def reference() -> dict[str, dict[str, Any]]:
    """Every row of the study, undisturbed."""
    of, rows = study(), Rows()
    Driver(of, FakePool(2, of, random.Random(0)), rows).run()
    return rows.rows


@pytest.fixture(scope="module")
def simulated() -> Study:
    """The study on simulated engines, with searches beside them."""
    return study(engines={"batch": 4, "simulate": 0.0, "search_on": "engine"})


@pytest.mark.parametrize("engines", [1, 3])
@pytest.mark.parametrize("innocent", [True, False])
def test_engines_that_die_lose_no_row_and_double_none(
    engines: int, innocent: bool, reference: dict[str, dict[str, Any]]
) -> None:
    deaths = 0
    for seed in range(40):
        of, rows = study(), Rows()
        pool = MortalPool(engines, of, random.Random(seed), 0.05 if innocent else 0.01, innocent)
        counts = Driver(of, pool, rows).run()
        deaths += pool.deaths
        assert sum(status.losses for status in counts.engines) == pool.deaths
        if not counts.failed:
            assert rows.rows == reference
        else:  # three deaths under one trial, by chance: that is what an error says
            assert set(rows.rows) == set(reference)
    assert deaths > 20


def test_a_driver_killed_at_random_points_resumes_to_the_same_rows(reference: dict[str, dict[str, Any]]) -> None:
    """Two hundred kills over several lives of a run; engines die meanwhile; rows on their way to the store are lost."""
    kills, seed = 0, 0
    while kills < KILLS:
        seed += 1
        coins, stored, lives = random.Random(seed), dict[str, dict[str, Any]](), 0
        while True:
            of = study()
            rows = MortalRows(stored, coins.randint(1, 8), coins.randint(0, 3))
            try:
                Driver(of, MortalPool(2, of, coins, 0.02, innocent=True), rows, CompletedTrials(stored)).run()
            except Killed:
                kills, lives = kills + 1, lives + 1
                continue
            break
        assert stored == reference
        assert lives


def test_hosts_that_die_lose_no_row_and_double_none(simulated: Study) -> None:
    calm = Rows()
    Driver(simulated, HostPool(2, simulated, random.Random(0), 0.0), calm).run()
    assert len(calm.rows) == simulated.size
    for seed in range(10):
        # seldom enough that no trial loses as many machines as are too many
        rows, pool = Rows(), HostPool(3, simulated, random.Random(seed), 0.03)
        Driver(simulated, pool, rows).run()
        assert pool.deaths
        assert _plain(rows) == _plain(calm)


def test_a_host_that_is_killed_with_its_driver_again_and_again(simulated: Study) -> None:
    calm = Rows()
    Driver(simulated, HostPool(1, simulated, random.Random(0), 0.0), calm).run()
    coins, stored = random.Random(1), dict[str, dict[str, Any]]()
    for _ in range(100):
        rows = MortalRows(stored, coins.randint(1, 8), coins.randint(0, 3))
        try:
            Driver(simulated, HostPool(2, simulated, coins, 0.05), rows, CompletedTrials(stored)).run()
        except Killed:
            continue
        break
    assert {key: _untimed(row) for key, row in stored.items()} == _plain(calm)


def _untimed(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in TIMED}


def _plain(rows: Rows) -> dict[str, dict[str, Any]]:
    return {key: _untimed(row) for key, row in rows.rows.items()}


@pytest.mark.parametrize("engines", [1, 3])
def test_a_poison_trial_is_an_error_after_a_few_engines_and_the_run_goes_on(
    engines: int, reference: dict[str, dict[str, Any]]
) -> None:
    of, rows = study(max_errors=99), Rows()
    pool = PoisonedPool(engines, of, random.Random(1), poison=3)
    poisoned = [trial for trial in of.trials() if trial.condition == 3]
    chosen = [trial for trial in of.trials() if trial.condition != 3] + poisoned[:1]
    counts = Driver(of, pool, rows, trials=chosen).run()
    [bad] = [row for row in rows.rows.values() if row.get("error")]
    assert bad["trial"] == poisoned[0].key(of.context)
    assert bad["error"] == f"{pool.deaths} engines died while it ran, the last with nothing else to do: killed"
    assert (counts.failed, counts.done) == (1, len(chosen))
    assert 3 <= pool.deaths <= 3 + math.ceil(math.log2(len(chosen)))
    del rows.rows[bad["trial"]]
    assert rows.rows == {key: row for key, row in reference.items() if row["condition"] != "3"}


def test_a_run_whose_engines_all_die_of_everything_ends() -> None:
    of = study()
    with pytest.raises(EngineError, match=r"11 trials failed, more than max_errors = 10; the last: \d+ engines died"):
        Driver(of, MortalPool(2, of, random.Random(0), 1.0), Rows()).run()


class PoisonedHosts(HostPool):
    """Search workers that die when they come to a trial of one condition; each has hundreds."""

    def __init__(self, engines: int, of: Study, poison: int) -> None:
        super().__init__(engines, of, random.Random(0), 0.0)
        self.poison = poison

    def _say(self, engine: int, host: SearchWorker | None) -> WorkerReport:
        work = [] if host is None else [opened.task.trial for opened in host.searches.open.values()]
        if any((trial.condition, trial.search) == (self.poison, "mcts") for trial in work):
            self.deaths += 1
            self.hosts[engine] = None
            return WorkerReport(engine, lost=WorkerFailure("killed"))
        return super()._say(engine, host)


def test_one_culprit_among_hundreds_is_found_by_halves() -> None:
    searches = ["naive", {"name": "mcts", "N": 2, "S": 1}]
    problems = {"conditions": "all", "seeds": 12}
    engines = {"batch": 64, "simulate": 0.0, "search_on": "engine"}
    of = study(searches=searches, problems=problems, engines=engines, rewards=["brightness"], max_errors=99)
    poisoned = next(trial for trial in of.trials() if (trial.condition, trial.search) == (3, "mcts"))
    chosen = [trial for trial in of.trials() if (trial.condition, trial.search) != (3, "mcts")] + [poisoned]
    assert len(chosen) > 200
    pool, rows, calm = PoisonedHosts(2, of, 3), Rows(), Rows()
    counts = Driver(of, pool, rows, trials=chosen).run()
    assert (counts.failed, counts.done) == (1, len(chosen))
    assert 3 <= pool.deaths <= 3 + math.ceil(math.log2(len(chosen)))
    Driver(of, HostPool(2, of, random.Random(0), 0.0), calm, trials=chosen).run()
    bad = poisoned.key(of.context)
    assert "engines died while it ran, the last with nothing else to do" in rows.rows[bad]["error"]
    assert {key: row for key, row in _plain(rows).items() if key != bad} == {
        key: row for key, row in _plain(calm).items() if key != bad
    }


def test_a_run_without_engines_ends_when_patience_is_over() -> None:
    class Gone(MortalPool):
        def wait(self) -> list[WorkerReport]:
            lost = [WorkerReport(0, lost=WorkerFailure("its node died", innocent=True))] if 0 not in self.away else []
            self.away = {0}
            return lost

    of = study(engines={"backend": "local", "batch": 4, "start_seconds": 0.2})
    with pytest.raises(
        EngineError, match=r"no engine for engines\.start_seconds = 0\.2 \(.*its node died\); run the same"
    ):
        Driver(of, Gone(1, of, random.Random(0), 0.0), Rows()).run()
