"""Freed memory stays with a process of an engine on a CPU; each test has processes of its own, as the setting stays."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from bench.study.config import Engines
from bench.workers import memory
from bench.workers.numerics import environment

FAULTS = """
import resource, sys, threading
import numpy as np
from bench.workers.memory import keep_memory
if "keep" in sys.argv:
    keep_memory()
def work():
    global faults
    for count in range(6):
        if count == 1:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        blocks = [np.ones(3 << 17) for _ in range(40)]
        del blocks
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
if "thread" in sys.argv:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
else:
    work()
print(faults)
"""
"""Five times takes and frees 120 MiB in blocks of 3 MiB: 153,600 pages; for larger ones numpy asks for huge pages."""


FEW = 10
"""Page faults without kept memory are more than so many times those with it."""


def faults(*arguments: str, **variables: str) -> int:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    command = [sys.executable, "-c", FAULTS, *arguments]
    done = subprocess.run(command, env=plain | variables, capture_output=True, text=True, check=True, timeout=60)
    return int(done.stdout)


def test_the_main_thread_gives_none_back() -> None:
    assert FEW * faults("keep") < faults()


def test_a_thread_beside_it_gives_none_back() -> None:
    """As in an actor, whose device thread is none of Ray's; its heaps are what the first call cannot keep."""
    assert FEW * faults("thread", **memory.variables()) < faults("thread", "keep")


def test_a_users_own_values_win(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in memory.variables():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MALLOC_ARENA_MAX", "8")
    assert environment(Engines(threads=3)) == {
        "OMP_NUM_THREADS": "3",
        "MKL_NUM_THREADS": "3",
        "MALLOC_ARENA_MAX": "8",
        "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
        "MALLOC_MMAP_THRESHOLD_": str(1 << 25),
    }
    assert environment(Engines(threads=3, device="cuda")) == {"OMP_NUM_THREADS": "3", "MKL_NUM_THREADS": "3"}


def test_a_value_that_a_process_started_with_is_left_alone() -> None:
    variables = {"MALLOC_TRIM_THRESHOLD_": "131072", "MALLOC_MMAP_THRESHOLD_": str(1 << 25)}
    assert faults("keep", **variables) > FEW * faults("keep")


def test_other_tuning_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert memory.variables()
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=131072")
    assert not memory.variables()
    kept = faults("keep")
    assert (
        faults("keep", GLIBC_TUNABLES="glibc.malloc.trim_threshold=131072:glibc.malloc.mmap_threshold=33554432")
        > FEW * kept
    )
