"""Engines die and drivers are killed at any moment: every trial still has exactly one row, with the same values."""

from __future__ import annotations

import math
import random
import re
from typing import Any

import pytest
from fake_pool import FakePool, Rows
from fake_pool import study as whole_study
from mortal_pools import HostPool, Killed, MortalPool, MortalRows, PoisonedHosts, PoisonedPool

from bench.run import driver, failures
from bench.run.driver import Driver
from bench.run.failures import NODES, NODES_ALONE
from bench.store.completed import CompletedTrials
from bench.store.schema import TIMED
from bench.study.study import Study
from bench.workers.pool import WorkerFailure, WorkerReport
from tts.errors import EngineError

KILLS = 200


def study(**changes: Any) -> Study:
    """A study of every search, with enough steps to interrupt each."""
    return whole_study(**{"model": {"name": "cifar10", "sampler": {"steps": 4, "S_max": 90}}, **changes})


@pytest.fixture(scope="module")
def reference() -> dict[str, dict[str, Any]]:
    """All rows of the study without disturbances."""
    of, rows = study(), Rows()
    Driver(of, FakePool(2, of, random.Random(0)), rows).run()
    return rows.rows


@pytest.fixture(scope="module")
def simulated() -> Study:
    """The study on simulated engines that run the searches themselves."""
    return study(engines={"batch": 4, "simulate": 0.0, "search_on": "engine"})


@pytest.mark.parametrize("engines", [1, 3])
@pytest.mark.parametrize("innocent", [True, False])
def test_engines_that_die_lose_no_row_and_double_none(
    engines: int, innocent: bool, reference: dict[str, dict[str, Any]]
) -> None:
    deaths = failed = 0
    reason = "[2-9][0-9] machines went away" if innocent else "[3-9] engines died"
    of = study()
    for seed in range(10 if innocent else 20):
        rows = Rows()
        pool = MortalPool(engines, of, random.Random(seed), 0.05 if innocent else 0.02, innocent)
        counts = Driver(of, pool, rows).run()
        deaths += pool.deaths
        assert sum(status.losses for status in counts.engines) == pool.deaths
        assert counts.failed == _undisturbed(rows.rows, reference, reason)
        failed += counts.failed
    assert deaths > 20
    assert failed <= len(reference)  # of ten or twenty times as many


def _undisturbed(rows: dict[str, dict[str, Any]], calm: dict[str, dict[str, Any]], reason: str) -> int:
    """Check that each row equals the calm run's or was given up for this reason; returns the number given up."""
    given_up = {key: row["error"] for key, row in rows.items() if row.get("error")}
    assert set(rows) == set(calm)
    assert all(row == calm[key] for key, row in rows.items() if key not in given_up)
    assert all(
        re.match(f"{reason} while it ran, the last with nothing else to do: killed$", why) for why in given_up.values()
    )
    return len(given_up)


def test_a_driver_killed_at_random_points_resumes_to_the_same_rows(reference: dict[str, dict[str, Any]]) -> None:
    """The driver is killed two hundred times, engines die meanwhile, and rows on their way to the store are lost."""
    kills, seed, of = 0, 0, study()
    while kills < KILLS:
        seed += 1
        coins, stored, lives = random.Random(seed), dict[str, dict[str, Any]](), 0
        while True:
            rows = MortalRows(stored, coins.randint(1, 8), coins.randint(0, 3))
            try:
                Driver(of, MortalPool(2, of, coins, 0.02, innocent=True), rows, CompletedTrials(stored)).run()
            except Killed:
                kills, lives = kills + 1, lives + 1
                continue
            break
        assert stored == reference
        assert lives


@pytest.mark.parametrize("bound", [NODES, 10**9])
def test_hosts_that_die_lose_no_row_and_double_none(
    bound: int, simulated: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often hosts die, a trial is given up only after it has lost the allowed number of machines."""
    monkeypatch.setattr(failures, "NODES", bound)
    monkeypatch.setattr(failures, "NODES_ALONE", 2 * bound)
    calm, deaths, failed = Rows(), 0, 0
    Driver(simulated, HostPool(2, simulated, random.Random(0), 0.0), calm).run()
    assert len(calm.rows) == simulated.size
    for seed in range(5):
        rows, pool = Rows(), HostPool(3, simulated, random.Random(seed), 0.13)
        counts = Driver(simulated, pool, rows).run()
        assert counts.failed == _undisturbed(_plain(rows), _plain(calm), "[2-9][0-9] machines went away")
        deaths, failed = deaths + pool.deaths, failed + counts.failed
    assert deaths > 150
    assert failed <= (len(calm.rows) if bound == NODES else 0)  # of five times as many


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
@pytest.mark.parametrize("innocent", [False, True])
def test_a_poison_trial_is_an_error_after_a_few_engines_and_the_run_goes_on(
    engines: int, innocent: bool, reference: dict[str, dict[str, Any]]
) -> None:
    """This holds whether the trial kills its engine or its machine."""
    of, rows = study(max_errors=99), Rows()
    pool = PoisonedPool(engines, of, random.Random(1), poison=3, innocent=innocent)
    poisoned = [trial for trial in of.trials() if trial.condition == 3]
    chosen = [trial for trial in of.trials() if trial.condition != 3] + poisoned[:1]
    counts = Driver(of, pool, rows, trials=chosen).run()
    [bad] = [row for row in rows.rows.values() if row.get("error")]
    what, bound = ("machines went away", NODES_ALONE) if innocent else ("engines died", 3)
    assert bad["trial"] == poisoned[0].key
    assert bad["error"] == f"{pool.deaths} {what} while it ran, the last with nothing else to do: killed"
    assert (counts.failed, counts.done) == (1, len(chosen))
    assert bound <= pool.deaths <= bound + math.ceil(math.log2(len(chosen)))
    del rows.rows[bad["trial"]]
    assert rows.rows == {key: row for key, row in reference.items() if row["condition"] != "3"}


def test_a_run_whose_engines_all_die_of_everything_ends() -> None:
    of = study()
    with pytest.raises(EngineError, match=r"11 trials failed, more than max_errors = 10; the last: \d+ engines died"):
        Driver(of, MortalPool(2, of, random.Random(0), 1.0), Rows()).run()


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
    bad = poisoned.key
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


class OneGone(PoisonedPool):
    """Engines that die of one condition until the one that is kept for suspects has died; that one stays away."""

    gone: int | None = None
    driver: Driver

    def wait(self) -> list[WorkerReport]:
        kept, before = self.driver._quarantined, set(self.away)
        found = super().wait()
        if self.gone is None and kept in self.away - before:
            self.poison, self.gone = -1, kept
        elif self.gone is not None:
            found = [report for report in found if report.engine != self.gone]
            self.away.add(self.gone)
        return found


def test_suspects_do_not_wait_for_an_engine_that_never_comes_back(reference: dict[str, dict[str, Any]]) -> None:
    """Their engine's machine goes away while they are in quarantine; another engine takes its place."""
    of, rows, looks = study(max_errors=99), Rows(), iter(range(5000))
    pool = OneGone(3, of, random.Random(1), poison=3)
    pool.driver = Driver(of, pool, rows)
    counts = pool.driver.run(lambda: next(looks) and None)
    assert [engine for engine, status in enumerate(counts.engines) if status.device is None] == [pool.gone]
    assert (counts.failed, rows.rows) == (0, reference)


class LostWhileFull(MortalPool):
    """Engines of which one is lost at the moment in which the store can take no more, for a while."""

    rows: Rows
    waits = 0

    def wait(self) -> list[WorkerReport]:
        self.waits += 1
        self.rows.full = 4 <= self.waits < 30
        return super().wait()

    def dies(self, engine: int) -> bool:
        return (engine, self.waits) == (0, 4)


def test_no_work_goes_to_an_engine_that_was_lost_while_the_store_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds of this search begin new trajectories, and those of trials that go on find a place elsewhere."""
    monkeypatch.setattr(driver, "PAUSE", 0.0)
    searches = [{"name": "zero_order_initial", "N": 2, "K": 6}]
    of = study(batch=8, searches=searches, problems={"conditions": "all", "seeds": 2}, rewards=["brightness"])
    rows, looks = Rows(), iter(range(5000))
    pool = LostWhileFull(2, of, random.Random(0), 0.0)
    pool.rows = rows
    counts = Driver(of, pool, rows).run(lambda: next(looks) and None)
    assert (counts.done, counts.failed) == (of.size, 0)
