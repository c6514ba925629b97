"""Ctrl-C, SIGTERM, SIGHUP: finished trials are stored, the exit code tells the reason, a second signal ends at once."""

from __future__ import annotations

import io
import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import bench
from driver_processes import DriverProcess
from rich.console import Console
from test_driver import FakePool, Rows, study
from tiny_study import TINY

from bench.run.driver import Driver
from bench.run.signals import SIGNALS, Interrupted, gently, held
from bench.store import reader as store
from bench.store.row import TrialRow
from bench.store.writer import Store
from bench.workers.pool import WAIT_SECONDS, LocalPool

PATIENCE = 120.0  # seconds for a process to reach some point, on a busy machine
AT_ONCE = 20.0  # seconds; waiting would take a hundred

STUDY: dict[str, Any] = {
    **TINY,
    "searches": ["naive"],
    "rewards": ["brightness"],
    "problems": {"conditions": "all", "seeds": 15},
    "engines": {"backend": "local", "count": 1, "simulate": 0.01, "batch": 8},
    "flush_seconds": 0.0,
}

CLOSING = """
import sys, time
from rich.console import Console
from bench.run.signals import gently

with gently(Console(stderr=True)):
    try:
        print("begun", flush=True)
        time.sleep(100)
    except KeyboardInterrupt:
        print("closing", flush=True)
        {closing}
"""


def until(true: Callable[[], object], process: DriverProcess) -> None:
    """Wait until a process has made something true."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)


def started(*arguments: object) -> subprocess.Popen[str]:
    """A Python process whose output is captured."""
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def heed_hang_ups() -> None:
    """A terminal that closes is heard, even where nohup runs the tests."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_run_that_is_stopped_stores_what_is_finished_and_resumes(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    config, folder = tmp_path / "study.yaml", tmp_path / "run"
    slow = {**STUDY["engines"], "simulate": 0.05}  # there is time to stop it
    config.write_text(yaml.safe_dump({**STUDY, "engines": slow, "output": str(folder)}))
    driver = DriverProcess(config, said=tmp_path, before=f"{__name__}:heed_hang_ups")
    until(lambda: list(folder.glob("trials/part-*.parquet")), driver)
    driver.send_signal(number)
    assert driver.wait() == code
    out, err = ((tmp_path / name).read_text() for name in ("out", "err"))
    assert "Traceback" not in out + err
    assert err.split("\n") == [
        "stopping: storing what is finished; once more to leave at once",
        "stopped; what was finished is stored, and the same command goes on from there",
        "",
    ]
    stored, status = set(store.done(folder)), json.loads((folder / "status.json").read_text())
    assert 0 < len(stored) < 150
    assert (status["state"], status["done"]) == ("stopped", len(stored))
    result = bench("run", config, "--set", "engines.simulate=0")
    assert (result.code, result.err) == (0, "")
    assert f"resuming: {len(stored)} of 150 trials are done" in result.out
    keys = store.read(folder)["trial"].to_pylist()
    assert len(keys) == len(set(keys)) == 150
    assert stored < set(keys)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_signal_leaves_at_once(number: signal.Signals, code: int) -> None:
    process = started("-c", CLOSING.format(closing="time.sleep(100)"))
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "closing\n"
    process.send_signal(number)
    _, err = process.communicate(timeout=AT_ONCE)
    assert process.returncode == code
    assert err == "stopping: storing what is finished; once more to leave at once\n"


@pytest.fixture
def hang_up(request: pytest.FixtureRequest) -> Iterator[Any]:
    """What the process does when its terminal closes."""
    before = signal.signal(signal.SIGHUP, request.param)
    yield request.param
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("hang_up", [signal.SIG_DFL], indirect=True)
def test_a_terminal_that_closes_says_so_twice_and_stops_a_run_gently(hang_up: Any) -> None:
    def close() -> None:
        with gently(Console(quiet=True)), held():
            signal.raise_signal(signal.SIGHUP)
            signal.raise_signal(signal.SIGHUP)

    with pytest.raises(Interrupted) as caught:
        close()
    assert (caught.value.code, signal.getsignal(signal.SIGHUP)) == (129, hang_up)


@pytest.mark.parametrize("hang_up", [signal.SIG_IGN], indirect=True)
def test_under_nohup_a_terminal_that_closes_changes_nothing(hang_up: Any) -> None:
    with gently(Console(quiet=True)), held() as stop:
        signal.raise_signal(signal.SIGHUP)
        stop.check()
    assert signal.getsignal(signal.SIGHUP) is hang_up


def test_the_handlers_are_put_back_in_the_end() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with gently(Console(quiet=True)):
        assert all(signal.getsignal(number) not in before for number in SIGNALS)
    assert [signal.getsignal(number) for number in SIGNALS] == before
    with pytest.raises(ValueError, match="wrong"), gently(Console(quiet=True)):
        raise ValueError("wrong")
    assert [signal.getsignal(number) for number in SIGNALS] == before


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_an_interruption_that_knows_its_code(number: signal.Signals) -> None:
    before, said = [signal.getsignal(number) for number in SIGNALS], io.StringIO()
    with pytest.raises(Interrupted) as caught, gently(Console(file=said)):
        signal.raise_signal(number)
    assert caught.value.code == 128 + number
    assert isinstance(caught.value, KeyboardInterrupt)
    assert said.getvalue() == "stopping: storing what is finished; once more to leave at once\n"
    assert [signal.getsignal(number) for number in SIGNALS] == before


@pytest.mark.parametrize("number", SIGNALS)
def test_a_flag_that_is_held_is_only_set(number: signal.Signals) -> None:
    after: list[str] = []

    def last() -> None:
        with gently(Console(quiet=True)), held() as stop:
            stop.check()
            signal.raise_signal(number)
            after.append("goes on")
            with pytest.raises(Interrupted):
                stop.check()
            after.append("and ends")

    with pytest.raises(Interrupted) as caught:
        last()
    assert (after, caught.value.code) == (["goes on", "and ends"], 128 + number)
    with gently(Console(quiet=True)), held() as stop:
        stop.check()  # another run begins without a signal


def test_a_signal_hides_no_other_error() -> None:
    with pytest.raises(ValueError, match="wrong"), gently(Console(quiet=True)), held():
        fail_after_a_signal()


def fail_after_a_signal() -> None:
    signal.raise_signal(signal.SIGTERM)
    raise ValueError("wrong")


class Interrupting(Rows):
    """A sink during which a signal arrives, in the middle of an engine's report."""

    def add(self, row: TrialRow) -> None:
        """Keep a row; the third one is not the last of its report."""
        if len(self.rows) == 2:
            signal.raise_signal(signal.SIGINT)
        super().add(row)


def test_a_driver_stops_between_two_answers_and_loses_none() -> None:
    of, rows = study(searches=["naive"], problems={"conditions": "all"}), Interrupting()
    pool = FakePool(1, of, random.Random(3))

    def run() -> None:
        with gently(Console(quiet=True)), held() as stop:
            Driver(of, pool, rows).run(stop.check)

    with pytest.raises(Interrupted):
        run()
    finished = {outcome.ticket for outcome in pool.outcomes if outcome.image is not None}
    assert 2 < len(rows.rows) == len(of.rewards) * len(finished) < of.size  # each trial counts once for each reward


class Slow:
    """A worker that takes many short passes before a trial ends."""

    device, busy, passes = "cpu", True, 0

    def advance(self) -> list[object]:
        """Take a short pass."""
        self.passes += 1
        time.sleep(0.01)
        return []


def test_a_local_engine_lets_its_driver_look_for_signals_between_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.workers.pool.collect", lambda engine, worker, outcomes: (engine, outcomes))
    worker = Slow()
    pool: Any = LocalPool(None, worker)  # type: ignore[arg-type]
    begin = time.monotonic()
    found = pool.wait()
    assert (found, worker.passes > 1) == ([(0, [])], True)
    assert WAIT_SECONDS <= time.monotonic() - begin < AT_ONCE


class Mortal:
    """A signal arrives while this object is finalised, where Python would swallow any exception."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


def test_a_signal_that_meets_the_end_of_an_object_is_not_lost() -> None:
    def last() -> None:
        with gently(Console(quiet=True)):
            Mortal()
            time.sleep(PATIENCE)

    with pytest.raises(Interrupted):
        last()


def test_in_another_thread_signals_are_left_alone() -> None:
    before, within = [signal.getsignal(number) for number in SIGNALS], []

    def work() -> None:
        with gently(Console(quiet=True)):
            within.extend(signal.getsignal(number) for number in SIGNALS)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert within == before


def let_stores_hang() -> None:
    """No store writes rows any more."""

    def hang(_: Store) -> None:
        print("hanging", flush=True)  # noqa: T201  (for the test)
        time.sleep(1000)

    Store.flush = hang  # type: ignore[method-assign]


def test_a_run_can_stop_while_its_store_hangs(tmp_path: Path) -> None:
    """The disk does not answer when the run is stopped; the second signal does not wait for it."""
    config, folder = tmp_path / "study.yaml", tmp_path / "run"
    config.write_text(yaml.safe_dump({**STUDY, "output": str(folder), "flush_seconds": 1000.0}))
    driver = DriverProcess(config, said=tmp_path, before=f"{__name__}:let_stores_hang")
    until((folder / "status.json").exists, driver)
    driver.send_signal(signal.SIGTERM)
    until(lambda: "hanging" in (tmp_path / "out").read_text(), driver)
    begin = time.monotonic()
    driver.send_signal(signal.SIGTERM)
    assert driver.wait() == 143
    assert time.monotonic() - begin < AT_ONCE
    assert not list(folder.glob("trials/part-*"))
