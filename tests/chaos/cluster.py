"""Engines, nodes and drivers of a real cluster, killed, frozen and taken away while studies run on it."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deadly import FOLDER, HURRY
from driver_processes import DriverProcess, table, write
from ray_nodes import Cluster, cluster, losses, status, there

from chaos import processes
from chaos.quota import Outcome, Quota

ENGINE, FROZEN, NODE, KILL = "engine killed (SIGKILL)", "engine frozen (SIGSTOP)", "node taken away", processes.KILL
KINDS = (ENGINE, FROZEN, NODE, KILL)
ENGINES = 2
A_RUN = 12
"""Mishaps of one run, at most."""
PATIENCE = 180.0
"""Seconds for a mishap to be noticed and made good, on a busy machine."""
STUDY: dict[str, Any] = {
    "problems": {"conditions": list(range(10)), "seeds": 2},
    "rewards": ["deadly:unhurried"],
    "flush_seconds": 0.0,
}


class Disturbance:
    """One run on a cluster of two nodes, and what befalls it."""

    def __init__(self, ours: Cluster, nodes: list[Any], path: Path, folder: Path) -> None:
        self.ours, self.nodes, self.path, self.folder = ours, nodes, path, folder
        self.driver, self.starts = DriverProcess(path), 1

    def befall(self, kind: str, coins: random.Random) -> bool:
        """One mishap, once all engines are there, until the run has noticed it; False if it came to its end before."""
        if not self._comes("all engines", self._complete):
            return False
        if kind == KILL:
            return self._kill_driver()
        before, node = losses(self.folder), coins.choice(self.nodes)
        if kind == NODE:
            self.nodes.remove(node)
            self.ours.remove(node)
            self.nodes.append(self.ours.add())
        else:
            number = signal.SIGKILL if kind == ENGINE else signal.SIGSTOP
            os.kill(coins.choice(self._engines()), number)
        return self._comes(f"notice of '{kind}'", lambda: losses(self.folder) > before)

    def _kill_driver(self) -> bool:
        self.driver.send_signal(signal.SIGKILL)
        killed = self.driver.wait() == -signal.SIGKILL
        self.driver, self.starts = DriverProcess(self.path), self.starts + 1
        return killed

    def _engines(self) -> list[int]:
        return [pid for node in self.nodes for pid in self.ours.engines_of(node)]

    def _complete(self) -> bool:
        """Whether this driver says that all engines are there, and they are."""
        mine: bool = status(self.folder).get("pid") == self.driver.pid
        return mine and there(self.folder) == ENGINES == len(self._engines())

    def _comes(self, what: str, true: Callable[[], bool]) -> bool:
        """Wait for something while the run goes on; False if it has come to its end.

        Raises:
            AssertionError: it does not come.
        """
        begin = time.monotonic()
        while not true():
            if self.driver.poll() is not None:
                return False
            assert time.monotonic() - begin < PATIENCE, f"{self.folder}: no {what} for {PATIENCE:.0f} s"
            time.sleep(0.05)
        return True


def disturbed(folder: Path, quota: Quota, coins: random.Random) -> Outcome:
    """Runs of one study on a cluster, each through some mishaps, until all have come."""
    folder.mkdir(parents=True)
    hurry = Path(os.environ[FOLDER]) / HURRY
    hurry.touch()
    outcome, begin = Outcome(), time.monotonic()
    calm = processes.undisturbed(processes.study(folder / "calm", **STUDY), folder)
    with cluster() as ours:
        nodes = [ours.add() for _ in range(ENGINES)]
        while quota.open(KINDS):
            engines = {"backend": "ray", "count": ENGINES, "address": ours.address, "patience": 6.0, "batch": 8}
            run = folder / f"run{outcome.runs}"
            config = processes.study(run, engines={**engines, "threads": 1}, **STUDY)
            hurry.unlink()
            outcome.starts += _through(Disturbance(ours, nodes, write(config, Path(f"{run}.yaml")), run), quota, coins)
            outcome.compare(table(run), calm)
    hurry.unlink()
    outcome.seconds = time.monotonic() - begin
    return outcome


def _through(run: Disturbance, quota: Quota, coins: random.Random) -> int:
    """One run through mishaps, and in haste to its end; how many drivers it took."""
    came = 0
    while came < A_RUN and (kind := quota.draw(coins, KINDS)) is not None and run.befall(kind, coins):
        quota.spend(kind)
        came += 1
    assert came, f"{run.folder}: a whole run, and nothing could befall it"
    (Path(os.environ[FOLDER]) / HURRY).touch()
    return run.starts + processes.finish(run.path, run.driver)
