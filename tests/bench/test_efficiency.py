"""The shares of the bare network's rate that engines reach."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

import pytest

from bench.benchmarks import bare as bare_network
from bench.benchmarks.bare import Bare, BareRate
from bench.benchmarks.efficiency import Beside, Cell
from bench.benchmarks.harness import CURVE, Timed, make_study, timed
from bench.benchmarks.windows import Watched, Window
from bench.run.driver import Driver
from bench.workers.backends import make_pool
from tts.engine.requests import EngineCounters


def test_guidance_counts_twice() -> None:
    window = Window(1.0, 1, EngineCounters(1, 8, 1.0), 0.0, 8)
    assert Cell("beam", None, window, 2, BareRate(32.0, 64.0), 8).efficiency == 0.5


def test_shares_of_the_bare_networks_rows_by_wall_and_by_cpu_time() -> None:
    """Six of eight rows are no padding; a CPU second is worth more than a second of a busy machine."""
    window = Window(2.0, 1, EngineCounters(4, 24, 2.0), 0.0, 8, cpu=0.5)
    loads = (EngineCounters(2, 16), EngineCounters(2, 8))
    run = Timed(1, 24, 3.0, 9.0, loads, 0.75)
    bare = BareRate(16.0, 99.0)
    cell = Cell("beam", 5, window, 1, bare, 8, run)
    assert (cell.efficiency, cell.cpu_efficiency, cell.full) == (0.75, None, 0.75)
    assert (cell.whole_efficiency, cell.whole_cpu_efficiency, cell.whole_full) == (0.5, None, 0.75)
    assert cell.record()["whole_least_full"] == 0.5
    beside = BareRate(8.0, 64.0)
    runs = (Beside(run, beside), Beside(run, BareRate(8.0, 128.0)))
    cell = Cell("beam", 5, window, 2, bare, 8, run, Beside(window, beside), runs)
    assert (cell.cpu_efficiency, cell.whole_cpu_efficiency) == (1.5, (0.5 + 0.25) / 2)
    assert cell.record()["cpu_full"] == 0.75


def test_the_bare_network_works_only_while_the_run_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither while engines are awaited before, nor while they end."""
    study = make_study(CURVE["naive"], 10, steps=4, backend="local", batch=10, simulate=0.0)
    order: list[str] = []

    @contextmanager
    def around() -> Iterator[None]:
        order.append("begin")
        yield
        order.append("end")

    for kind, name in ((Watched, "settled"), (Driver, "run"), (Watched, "drain")):
        plain = getattr(kind, name)
        monkeypatch.setattr(
            kind, name, lambda self, *given, plain=plain, name=name: order.append(name) or plain(self, *given)
        )
    with closing(make_pool(study)) as pool:
        assert timed(study, pool, around()).images == 10
    assert order == ["settled", "begin", "run", "end", "drain"]


def test_each_process_of_the_bare_network_has_cores_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {7, 3, 5, 1}, raising=False)
    monkeypatch.setattr(bare_network, "PINS", True)
    studies = {count: make_study(CURVE["naive"], 10, backend="ray", count=count, threads=2) for count in (1, 2, 3)}
    assert {count: bare_network.shares(study) for count, study in studies.items()} == {
        1: [[1, 3]],
        2: [[1, 3], [5, 7]],
        3: [[1, 3, 5, 7]] * 3,
    }


def test_engines_beside_it_are_on_its_cores_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """All threads of them, the second engine on the second cores; and wherever they like before and after."""
    cores = sorted(os.sched_getaffinity(0))
    network = Bare.__new__(Bare)
    network.cores, network._pipes = [cores[:1], cores[-1:]], []
    child, end = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]), threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    assert thread.native_id is not None
    try:
        with suppress(ZeroDivisionError), network.at_work([os.getpid(), child.pid]):  # there is no rate of nothing
            found = [os.sched_getaffinity(each) for each in (os.getpid(), thread.native_id, child.pid)]
        assert found == [{cores[0]}, {cores[0]}, {cores[-1]}]
        assert [os.sched_getaffinity(process) for process in (os.getpid(), child.pid)] == [set(cores)] * 2
    finally:
        end.set()
        child.kill()
        child.wait()
        os.sched_setaffinity(0, cores)
