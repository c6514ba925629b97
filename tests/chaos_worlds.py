"""What may befall a run in one process: engines, nodes and drivers that end, freezes, store faults, clock jumps."""

from __future__ import annotations

import errno
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from driver_processes import table
from fake_pool import study
from mortal_pools import HostPool, Killed, MortalPool

from bench.run.driver import Driver
from bench.store.row import TrialRow
from bench.store.writer import Store
from bench.study.study import Study
from bench.workers.pool import Pool, WorkerFailure, WorkerReport
from tts.errors import SettingError, TTSError

FREEZES = "freezes of engines, simulated"
PATIENCE = 4
"""Polls for which an engine may stand still."""
LIVES = 400
"""Of one run, at most; more would say that it does not get on."""


class FreezingPool(MortalPool):
    """Engines that stand still for some polls; after too many of them they are given up, with all that they hold."""

    def __init__(self, engines: int, of: Study, coins: random.Random, tally: Counter[str]) -> None:
        super().__init__(engines, of, coins, 0.0, innocent=True)
        self.tally, self.still = tally, [0] * engines

    def reply(self, engine: int, count: int) -> WorkerReport:
        """Nothing while it stands still; no engine at all after too long."""
        if not self.still[engine] and self.coins.random() < 0.03:
            self.tally[FREEZES] += 1
            self.still[engine] = self.coins.randint(1, 2 * PATIENCE)
        if not self.still[engine]:
            return super().reply(engine, count)
        if self.still[engine] > PATIENCE:
            self.still[engine] = 0
            self.away.add(engine)
            self.jobs[engine], self.states[engine] = [], {}
            return WorkerReport(engine, lost=WorkerFailure("has not moved", innocent=True))
        self.still[engine] -= 1
        return super().reply(engine, 0)


class Clock:
    """The module ``time``, whose clocks leap: the wall clock both ways, the monotonic one ahead."""

    sleep, perf_counter = staticmethod(time.sleep), staticmethod(time.perf_counter)

    def __init__(self, coins: random.Random, tally: Counter[str]) -> None:
        self.coins, self.tally, self.ahead, self.wall = coins, tally, 0.0, 0.0

    def monotonic(self) -> float:
        """Seconds that never go back."""
        self._leap()
        return time.monotonic() + self.ahead

    def time(self) -> float:
        """Seconds that may."""
        self._leap()
        return time.time() + self.wall

    def _leap(self) -> None:
        if self.coins.random() < 0.002:
            self.tally["clock jumps"] += 1
            self.ahead += self.coins.choice([0.5, 30.0, 7200.0])
            self.wall += self.coins.choice([-86400.0, -1.0, 3600.0])


def _clocks() -> list[ModuleType]:
    modules = [module for name, module in sys.modules.items() if name.startswith("bench.")]
    return [module for module in modules if getattr(module, "time", None) is time]


@contextmanager
def leaping(coins: random.Random, tally: Counter[str]) -> Iterator[None]:
    """All of the harness lives by a clock that leaps."""
    with pytest.MonkeyPatch.context() as patch:
        clock = Clock(coins, tally)
        for module in _clocks():
            patch.setattr(module, "time", clock)
        yield


@contextmanager
def faulty(coins: random.Random, tally: Counter[str], chance: float = 0.15) -> Iterator[None]:
    """A disk that is full, broken or slow now and then, before a file has its name or after it."""
    with pytest.MonkeyPatch.context() as patch:
        for call in ("fsync", "replace"):
            patch.setattr(os, call, _failing(getattr(os, call), coins, tally, chance))
        yield


def _failing(works: Callable[..., Any], coins: random.Random, tally: Counter[str], chance: float) -> Callable[..., Any]:
    def maybe(*arguments: Any) -> Any:
        if coins.random() < chance:
            tally["store faults"] += 1
            number = coins.choice([errno.ENOSPC, errno.EIO, errno.ESTALE])
            raise OSError(number, os.strerror(number))
        return works(*arguments)

    return maybe


class StoreSink:
    """The store as a sink; its driver is killed after some rows, whatever of them is written by then."""

    full = False

    def __init__(self, store: Store, life: int) -> None:
        self.store, self.left = store, life

    def add(self, row: TrialRow) -> None:
        """Store a row; a store that fails keeps it for later."""
        with suppress(SettingError):
            self.store.add(row)
        self.left -= 1
        if not self.left:
            raise Killed

    def tick(self) -> None:
        """Try again what waits."""
        with suppress(SettingError):
            self.store.tick()


def live(of: Study, folder: Path, pool: Pool, coins: random.Random, life: int, last: bool = False) -> None:
    """One start of a run, to its end, everything stored.

    Raises:
        Killed: it was killed.
    """
    store = Store(folder, of.rewards, flush_rows=coins.randint(1, 9), flush_seconds=coins.choice([0.0, 1e6]))
    try:
        done = store.open(of.digest(), {"digest": of.digest(), "config": {}, "devices": []}, retry_errors=last)
        Driver(of, pool, StoreSink(store, life), done).run()
        store.flush()
    finally:
        if store._claim is not None:  # as the end of a process lets it go
            store._claim.release()


POOLS: dict[str, Callable[[Study, random.Random, Counter[str]], MortalPool | HostPool]] = {
    "engines, simulated": lambda of, coins, _: MortalPool(2, of, coins, 0.04),
    "nodes, simulated": lambda of, coins, _: MortalPool(3, of, coins, 0.03, innocent=True),
    "search workers, simulated": lambda of, coins, _: HostPool(2, of, coins, 0.08),
    FREEZES: lambda of, coins, tally: FreezingPool(2, of, coins, tally),
}


def studies() -> dict[str, Study]:
    """The study of each kind of pool."""
    hosted = study(engines={"batch": 4, "simulate": 0.0, "search_on": "engine"}, max_errors=99)
    plain = study(max_errors=99)
    return {name: hosted if "workers" in name else plain for name in POOLS}


def calm(of: Study, kind: str, folder: Path) -> list[dict[str, Any]]:
    """The table of an undisturbed run."""
    live(of, folder, _sound(of, kind), random.Random(0), 0)
    return table(folder)


def _sound(of: Study, kind: str) -> MortalPool | HostPool:
    """An engine that lives."""
    sort = HostPool if "workers" in kind else MortalPool
    return sort(1, of, random.Random(0), 0.0)


def disturbed(of: Study, kind: str, folder: Path, seed: int, tally: Counter[str]) -> list[dict[str, Any]]:
    """The table of a run through everything; what befell it is counted in ``tally``."""
    coins = random.Random(seed)
    for _ in range(LIVES):
        pool = POOLS[kind](of, coins, tally)
        try:
            with leaping(coins, tally), faulty(coins, tally):
                live(of, folder, pool, coins, coins.randint(1, 8))
        except Killed:
            tally["drivers, simulated"] += 1
        except TTSError:  # the store could not be opened, or what waited not be written: the user starts it again
            tally["starts that a store fault ended"] += 1
        else:
            break
        finally:
            tally[kind] += pool.deaths
    else:
        raise AssertionError(f"{kind}, seed {seed}: no end after {LIVES} starts")
    live(of, folder, _sound(of, kind), coins, 0, last=True)  # also: trials that were given up run again
    return table(folder)
