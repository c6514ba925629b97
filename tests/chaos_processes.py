"""Drivers in processes of their own, with real engines, that are killed and frozen at any moment."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

from driver_processes import DriverProcess, count_parts, kill_after_progress, table, write
from tiny_study import TINY

from bench.study.config import RunConfig
from tts.settings import parse

Rows = list[dict[str, Any]]
TRIALS_A_KILL = 6


def study(output: Path, seeds: int, **changes: Any) -> RunConfig:
    """Short trials of a real network."""
    values = {
        **TINY,
        "problems": {"conditions": [0, 1, 2, 3], "seeds": seeds},
        "rewards": ["brightness", "compressibility"],
        "searches": ["naive", {"name": "best_of_n", "N": 2}, {"name": "eps_greedy", "N": 2, "K": 2}],
        "output": str(output),
        **changes,
    }
    return parse(RunConfig, values, "chaos")


def killed_drivers(kills: int, folder: Path, tally: Counter[str]) -> tuple[Rows, Rows]:
    """Kill, or freeze and then kill or wake, a run's drivers so often; its table and the undisturbed one's."""
    folder.mkdir(parents=True)
    seeds = max(1, kills * TRIALS_A_KILL // 12)
    calm, run = study(folder / "calm", seeds), study(folder / "run", seeds, flush_seconds=0.0)
    assert DriverProcess(write(calm, folder / "calm.yaml")).wait() == 0
    path, coins = write(run, folder / "run.yaml"), random.Random()
    while kills > 0:
        driver = DriverProcess(path)
        kills -= frozen(driver, run.output, coins, tally) if coins.random() < 0.25 else 0
        if not kill_after_progress(driver, run.output, coins.uniform(0.0, 0.1)):
            break  # it has come to its end
        kills -= 1
        tally["drivers, SIGKILL"] += 1
    assert DriverProcess(path).wait() == 0
    return table(run.output), table(calm.output)


def frozen(driver: DriverProcess, folder: Path, coins: random.Random, tally: Counter[str]) -> int:
    """Stop a driver for a moment once it works; 1 if it was there to be stopped."""
    parts = count_parts(folder)
    while count_parts(folder) == parts and driver.poll() is None:
        time.sleep(0.01)
    if driver.poll() is not None:
        return 0
    driver.send_signal(signal.SIGSTOP)
    time.sleep(coins.uniform(0.0, 0.3))
    driver.send_signal(signal.SIGCONT)
    tally["drivers, SIGSTOP"] += 1
    return 1
