"""Progress of a run: the status file and the terminal's output."""

from __future__ import annotations

import json
import os
import random
import threading
from pathlib import Path
from typing import Any

import pytest
from command_line import bench
from fake_pool import Rows
from fake_pool import study as a_study
from full_disk import PATIENCE
from mortal_pools import MortalPool
from standing_clock import AGO, Clock

from bench.run import status
from bench.run.driver import Driver, EngineStatus, RunProgress
from bench.run.status import Reporter, awaited
from bench.store.storage import place
from bench.study.study import Study
from tts.engine.requests import EngineCounters


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock in place of the real one."""
    made = Clock()
    monkeypatch.setattr(status, "time", made)
    return made


class Watched(Reporter):
    """A reporter that keeps what it shows and warns of."""

    def __init__(self, of: Study) -> None:
        self.shown: list[int] = []
        self.warned: list[str] = []
        super().__init__(of, place(of.config.output), lambda counts: self.shown.append(counts.done), self.warned.append)

    def tell(self, counts: RunProgress) -> None:
        """As always, and wait for the file."""
        super().tell(counts)
        self._putting.result()


def study(folder: Path, **changes: Any) -> Study:
    """A small study that is written to a folder."""
    return a_study(output=str(folder), **changes)


def counts(*engines: EngineStatus, **changes: Any) -> RunProgress:
    """A run that has just begun."""
    shown = list(engines or [EngineStatus("cpu", "here")])
    return RunProgress(**{"done": 10, "trials": 80, "planned": 1000, "engines": shown, **changes})


def written(folder: Path, name: str = "status.json") -> dict[str, Any]:
    """A status file."""
    content: dict[str, Any] = json.loads((folder / name).read_text())
    return content


def test_the_file_says_everything(tmp_path: Path, clock: Clock) -> None:
    reporter = Watched(study(tmp_path))
    clock.now += 50
    engines = [
        EngineStatus("H100", "north", EngineCounters(4, 100, 20.0, awaiting=5.0)),
        EngineStatus(None, "south", EngineCounters(2, 50, 90.0), losses=1),
    ]
    reporter.tell(counts(*engines, failed=2, nfe=250, error="no luck"))
    assert written(tmp_path) == {
        "state": "running",
        "shard": None,
        "updated": AGO + 150.0,
        "host": os.uname().nodename,
        "pid": os.getpid(),
        "done": 10,
        "failed": 2,
        "trials": 80,
        "nfe_per_second": 5.0,
        "seconds": 50.0,
        "seconds_left": 150.0,
        "last_error": "no luck",
        "engines": [
            {
                "engine": 0,
                "device": "H100",
                "host": "north",
                "rows_per_second": 2.0,
                "busy": 0.4,
                "waiting": 0.1,
                "losses": 0,
            },
            {
                "engine": 1,
                "device": None,
                "host": "south",
                "rows_per_second": 1.0,
                "busy": 1.0,
                "waiting": 0.0,
                "losses": 1,
            },
        ],
    }
    assert reporter.shown == [10]


def test_a_report_is_told_what_rewards_cost(tmp_path: Path, clock: Clock) -> None:
    assert awaited(tmp_path) is None
    reporter = Watched(study(tmp_path))
    clock.now += 10
    reporter.tell(counts(*(EngineStatus("cpu", load=EngineCounters(awaiting=seconds)) for seconds in (1.0, 4.0))))
    assert awaited(tmp_path) == pytest.approx(0.25)
    assert "10 %" in bench("status", tmp_path).words


def test_it_is_written_now_and_then_and_shown_always(tmp_path: Path, clock: Clock) -> None:
    reporter, told = Watched(study(tmp_path)), []
    for done in range(10):
        reporter.tell(counts(done=done))
        told.append(written(tmp_path)["done"])
        clock.now += 0.5
    assert told == [0, 0, 0, 0, 4, 4, 4, 4, 8, 8]
    assert reporter.shown == list(range(10))


def test_the_time_left_is_unknown_at_first_and_never_below_zero(tmp_path: Path, clock: Clock) -> None:
    reporter = Watched(study(tmp_path))
    reporter.tell(counts())
    assert written(tmp_path)["seconds_left"] is None
    clock.now += 10
    reporter.tell(counts(nfe=1200))  # more than planned, as the work of a lost engine is done again
    assert written(tmp_path)["seconds_left"] == 0.0
    assert "0:00:00 left" in bench("status", tmp_path).words


def test_an_engine_that_goes_or_comes_is_told_at_once(tmp_path: Path, clock: Clock) -> None:
    reporter = Watched(study(tmp_path))
    reporter.tell(counts(EngineStatus("cpu"), EngineStatus("cpu")))
    reporter.tell(counts(EngineStatus("cpu"), EngineStatus(None, losses=1, loss="out of memory")))
    assert [engine["losses"] for engine in written(tmp_path)["engines"]] == [0, 1]
    line = "engine 1 is lost: out of memory; its trials are run again"
    assert reporter.warned == [line]
    reporter.tell(counts(EngineStatus("cpu"), EngineStatus("cpu", "elsewhere", losses=1, loss="out of memory")))
    assert written(tmp_path)["engines"][1]["host"] == "elsewhere"
    assert reporter.warned == [line]
    reporter.tell(counts(EngineStatus("cpu"), EngineStatus(None, losses=2, loss="silent")))
    assert reporter.warned == [line, line.replace("out of memory", "silent")]


def test_a_run_whose_engines_die_warns_of_each(tmp_path: Path) -> None:
    of = study(tmp_path)
    reporter, pool = Watched(of), MortalPool(2, of, random.Random(3), 0.02, innocent=True)
    driver = Driver(of, pool, Rows(), progress=reporter.tell)
    with reporter.reporting(driver.counts):
        driver.run()
    assert pool.deaths
    assert len(reporter.warned) == pool.deaths
    found = written(tmp_path)
    assert sum(engine["losses"] for engine in found["engines"]) == pool.deaths
    assert (found["state"], found["done"], found["trials"]) == ("done", of.size, of.size)


@pytest.mark.parametrize("end", [None, KeyboardInterrupt, ValueError])
def test_it_says_how_the_run_ended(end: type[BaseException] | None, tmp_path: Path) -> None:
    reporter, now = Watched(study(tmp_path)), counts()

    def ended() -> None:
        with reporter.reporting(now):
            reporter.tell(now)
            now.done = 77
            if end is not None:
                raise end

    if end is None:
        ended()
    else:
        with pytest.raises(end):
            ended()
    assert (written(tmp_path)["state"], written(tmp_path)["done"]) == ("stopped" if end else "done", 77)


def test_a_disk_that_is_full_stops_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    reporter = Watched(study(tmp_path))
    with reporter.reporting(counts()):
        reporter.tell(counts())
    assert not list(tmp_path.iterdir())


def test_a_disk_that_does_not_answer_holds_up_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers, sync = threading.Event(), os.fsync

    def late(descriptor: int) -> None:
        assert answers.wait(PATIENCE)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", late)
    reporter = Watched(study(tmp_path))
    with reporter.reporting(counts()):
        Reporter.tell(reporter, counts())
        Reporter.tell(reporter, counts(EngineStatus(None, losses=1)))
        assert not reporter._putting.done()
        answers.set()
    assert written(tmp_path)["state"] == "done"


def test_a_shard_has_a_file_of_its_own(tmp_path: Path) -> None:
    Watched(study(tmp_path, shard="1/3")).tell(counts())
    assert [path.name for path in tmp_path.iterdir()] == ["status-1of3.json"]
    assert "(shard 1/3): running" in bench("status", tmp_path).out
