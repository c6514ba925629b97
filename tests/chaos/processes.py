"""Drivers in processes of their own, with a real engine, that are killed, frozen and kept from writing."""

from __future__ import annotations

import random
import resource
import signal
import time
from pathlib import Path
from typing import Any

from driver_processes import DriverProcess, count_parts, table, write
from tiny_study import TINY

from bench.study.config import RunConfig
from chaos.quota import Outcome, Quota, Rows
from tts.settings import parse

KILL, FREEZE, DISK = (
    "driver killed (SIGKILL)",
    "driver frozen (SIGSTOP, SIGCONT)",
    "disk that takes no byte (RLIMIT_FSIZE)",
)
KINDS = (KILL, FREEZE, DISK)
PATIENCE = 180.0
"""Seconds for a driver to store something, on a busy machine."""
SEEDS = 10
"""Of one run: 120 trials, a few of them in each life of its driver."""
GIVEN_UP = 3
"""Exit code of a run that is done but for trials that have failed."""


def study(output: Path, **changes: Any) -> RunConfig:
    """Short trials of a real network."""
    values = {
        **TINY,
        "problems": {"conditions": [0, 1, 2, 3], "seeds": SEEDS},
        "rewards": ["brightness"],
        "searches": ["naive", {"name": "best_of_n", "N": 2}, {"name": "eps_greedy", "N": 2, "K": 2}],
        "output": str(output),
        "max_errors": 999,
        **changes,
    }
    return parse(RunConfig, values, "chaos")


def finish(path: Path, driver: DriverProcess) -> int:
    """Wait for a run's end, and run again what was given up; how many starts that took."""
    starts, code = 0, driver.wait()
    while code == GIVEN_UP and starts < 5:
        starts, code = starts + 1, DriverProcess(path, "--retry-errors").wait()
    assert code == 0, f"{path}: exit code {code}"
    return starts


def disturbed(folder: Path, quota: Quota, coins: random.Random) -> Outcome:
    """Runs of one study, each until it is done, until all has come."""
    folder.mkdir(parents=True)
    outcome, begin, calm = Outcome(), time.monotonic(), undisturbed(study(folder / "calm"), folder)
    while quota.open(KINDS):
        run, before = folder / f"run{outcome.runs}", quota.came.total()
        path = write(study(run, flush_seconds=0.0), Path(f"{run}.yaml"))
        while _is_killed(driver := DriverProcess(path), run, quota, coins):
            outcome.starts += 1
        outcome.starts += 1 + finish(path, driver)
        outcome.compare(table(run), calm)
        assert quota.came.total() > before, "a whole run, and nothing could befall it"
    outcome.seconds = time.monotonic() - begin
    return outcome


def undisturbed(config: RunConfig, folder: Path) -> Rows:
    """The table of a run in peace."""
    path = write(config, folder / "calm.yaml")
    finish(path, DriverProcess(path))
    return table(Path(config.output))


def _is_killed(driver: DriverProcess, folder: Path, quota: Quota, coins: random.Random) -> bool:
    """A driver's life, in which something befalls it whenever it has stored more; whether it was killed."""
    while _progresses(driver, folder):
        time.sleep(coins.uniform(0.0, 0.05))
        kind = quota.draw(coins, KINDS)
        if kind is None:
            break
        if kind == KILL:
            driver.send_signal(signal.SIGKILL)
            return driver.wait() == -signal.SIGKILL and quota.spend(KILL)
        if (_freeze if kind == FREEZE else _fill_disk)(driver, coins.uniform(0.1, 1.0)):
            quota.spend(kind)
    return False


def _progresses(driver: DriverProcess, folder: Path) -> bool:
    """Wait for a new part; False if the driver ends before there is one.

    Raises:
        AssertionError: it does neither.
    """
    parts, begin = count_parts(folder), time.monotonic()
    while count_parts(folder) == parts:
        if driver.poll() is not None:
            return False
        assert time.monotonic() - begin < PATIENCE, f"{folder}: nothing is stored for {PATIENCE:.0f} s"
        time.sleep(0.01)
    return driver.poll() is None


def _freeze(driver: DriverProcess, seconds: float) -> bool:
    """Stop a driver for a while; whether it was there to be stopped."""
    driver.send_signal(signal.SIGSTOP)
    time.sleep(seconds)
    alive = driver.poll() is None
    driver.send_signal(signal.SIGCONT)
    return alive


def _fill_disk(driver: DriverProcess, seconds: float) -> bool:
    """Let the system refuse every byte that a driver writes to a file, for a while; whether it was there to be so."""
    try:
        soft, hard = resource.prlimit(driver.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(driver.pid, resource.RLIMIT_FSIZE, (0, hard))
        time.sleep(seconds)
        alive = driver.poll() is None
        resource.prlimit(driver.pid, resource.RLIMIT_FSIZE, (soft, hard))
    except ProcessLookupError:
        return False
    return alive
