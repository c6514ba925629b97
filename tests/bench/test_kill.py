"""A driver killed at random moments loses nothing that it stored, and resumes to the same table."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from driver_processes import DriverProcess, kill_after_progress, table, write

from bench.store import reader as store
from bench.study.config import RunConfig

KILLS = 4


def test_killed_driver_resumes_to_the_undisturbed_table(tiny: Callable[..., RunConfig], tmp_path: Path) -> None:
    """Here the engine runs in the driver's process.

    ``test_nodes.py`` kills a driver on Ray, and ``test_losses.py`` kills hundreds of drivers without a model.
    """
    study = {"problems": {"conditions": [0, 1, 2, 3], "seeds": 3}, "rewards": ["brightness", "compressibility"]}
    calm = tiny(output="calm", **study)
    assert DriverProcess(write(calm, tmp_path / "calm.yaml")).wait() == 0
    killed = tiny(output="killed", **study, flush_seconds=0.0)
    path, moments = write(killed, tmp_path / "killed.yaml"), random.Random()
    lives = [kill_after_progress(DriverProcess(path), killed.output, moments.uniform(0.0, 0.2)) for _ in range(KILLS)]
    assert all(lives)
    assert 0 < len(store.done(killed.output)) < len(store.done(calm.output))
    assert DriverProcess(path).wait() == 0
    assert table(killed.output) == table(calm.output)
    assert not list(killed.output.rglob(".*.tmp"))
