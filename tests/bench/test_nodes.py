"""A study on several nodes with every kind of fault: its table equals an undisturbed run's."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from deadly import FOLDER, HURRY
from driver_processes import DriverProcess, prepare, table, write
from ray_nodes import cluster, losses, there, waited

from bench.study.config import RunConfig

SEARCHES = [{"name": "eps_greedy", "N": 2, "K": 2}, {"name": "best_of_n", "N": 3}, "naive"]


def test_one_study_through_every_mishap(tiny: Callable[..., RunConfig], tmp_path: Path) -> None:
    problems = {"conditions": "all", "seeds": 2}
    study = {"problems": problems, "rewards": ["deadly:unhurried"], "searches": SEARCHES, "flush_seconds": 0.0}
    hurry = Path(os.environ[FOLDER]) / HURRY
    hurry.touch()
    calm = tiny(output="calm", **study)
    prepare()  # while the cluster starts
    took: dict[str, float] = {}
    with cluster() as ours:
        first, second = ours.add(wait=False), ours.add()
        undisturbed = DriverProcess(write(calm, tmp_path / "calm.yaml"))
        engines = {"backend": "ray", "count": 3, "address": ours.address, "patience": 6.0, "search_on": "engine"}
        config = tiny(output="run", engines=engines, **study)
        path, folder = write(config, tmp_path / "run.yaml"), tmp_path / "run"
        assert undisturbed.wait() == 0
        hurry.unlink()
        driver = DriverProcess(path)
        waited("two engines", lambda: there(folder) == 2)

        [victim] = ours.engines_of(first)
        os.kill(victim, signal.SIGKILL)
        took["kill -9 noticed"] = waited("the death", lambda: losses(folder) == 1)
        third = ours.add()  # a node joins late, and the third engine with it
        took["node's engine joined"] = waited("the third engine", lambda: ours.engines_of(third))

        [frozen] = ours.engines_of(second)
        os.kill(frozen, signal.SIGSTOP)
        took["SIGSTOP noticed"] = waited("the silence", lambda: losses(folder) == 2)
        took["frozen process ended"] = waited("its end", lambda: not Path(f"/proc/{frozen}").exists())
        took["replaced"] = waited("the first engine again", lambda: ours.engines_of(first) and there(folder) >= 2)

        ours.remove(first)
        took["node's removal noticed"] = waited("the node's end", lambda: losses(folder) >= 3)

        waited("a row", lambda: table(folder))
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    hurry.touch()
    assert 0 < len(table(folder)) < len(table(tmp_path / "calm"))
    begin = time.monotonic()
    assert DriverProcess(write(tiny(output="run", **study), path)).wait() == 0  # its engine runs in its own process
    took["resumed to the end"] = time.monotonic() - begin
    print({name: round(seconds, 1) for name, seconds in took.items()})  # noqa: T201  (shown with -s)
    hurry.unlink()
    assert table(folder) == table(tmp_path / "calm")
