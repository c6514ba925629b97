"""Engines and nodes of a real cluster that are killed, frozen and taken away while a study runs on them."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from deadly import FOLDER, HURRY
from driver_processes import DriverProcess, table, write

sys.path.insert(0, str(Path(__file__).parent / "bench"))

import chaos_processes
from test_nodes import Cluster, cluster, losses

Rows = list[dict[str, Any]]
SECONDS = 60.0
"""For a mishap to be noticed."""


def befallen(mishaps: int, folder: Path, tally: Counter[str]) -> tuple[Rows, Rows]:
    """A study on two nodes through so many mishaps: its table, and that of an undisturbed run here."""
    folder.mkdir(parents=True)
    hurry = Path(os.environ[FOLDER]) / HURRY
    hurry.touch()
    study: dict[str, Any] = {"rewards": ["deadly:unhurried"], "flush_seconds": 0.0}
    calm = chaos_processes.study(folder / "calm", 10, **study)
    assert DriverProcess(write(calm, folder / "calm.yaml")).wait() == 0
    with cluster() as ours:
        nodes, coins = [ours.add(), ours.add()], random.Random()
        engines = {"backend": "ray", "count": 2, "address": ours.address, "patience": 6.0, "batch": 8, "threads": 1}
        path = write(chaos_processes.study(folder / "run", 10, engines=engines, **study), folder / "run.yaml")
        hurry.unlink()
        driver = DriverProcess(path)
        for _ in range(mishaps):
            if not _befall(ours, nodes, folder / "run", driver, coins, tally):
                break
        hurry.touch()
        assert driver.wait() == 0
    hurry.unlink()
    return table(folder / "run"), table(folder / "calm")


def _befall(
    ours: Cluster, nodes: list[Any], folder: Path, driver: DriverProcess, coins: random.Random, tally: Counter[str]
) -> bool:
    """One mishap, once there is an engine for it; whether the run has noticed it."""
    if not _comes(lambda: any(ours.engines_of(node) for node in nodes), driver):
        return False
    before, which = losses(folder), coins.choice([node for node in nodes if ours.engines_of(node)])
    kind = coins.choice(["engines, SIGKILL", "engines, SIGKILL", "engines, SIGSTOP", "nodes taken away"])
    if kind == "nodes taken away":
        nodes.remove(which)
        ours.remove(which)
        nodes.append(ours.add())
    else:
        number = signal.SIGKILL if kind.endswith("KILL") else signal.SIGSTOP
        os.kill(ours.engines_of(which)[0], number)
    tally[f"{kind}, on Ray"] += 1
    return _comes(lambda: losses(folder) > before, driver)


def _comes(true: Any, driver: DriverProcess) -> bool:
    """Wait for something while the run goes on."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and driver.poll() is None:
        if true():
            return True
        time.sleep(0.05)
    return False
