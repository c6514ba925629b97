"""Engines on Ray that die, run out of memory or hang in a user's own code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from command_line import bench
from deadly import FOLDER, POISON
from driver_processes import table, write

from bench.study.config import RunConfig

Make = Callable[..., RunConfig]
RAY: dict[str, Any] = {"backend": "ray", "count": 2}
PATIENCE = 6.0  # seconds; on a busy machine a healthy engine may stand still for two


def test_a_poison_trial_becomes_an_error_and_the_run_goes_on(tiny: Make, tmp_path: Path, ray_address: str) -> None:
    """One of six trials is deadly; test_losses.py counts how many deaths it takes to find one among hundreds."""
    engines = {**RAY, "address": ray_address, "simulate": 0.005, "search_on": "engine"}
    problems = {"conditions": [0, POISON, 5]}
    config = tiny(searches=["naive", "deadly:Deadly"], rewards=["brightness"], problems=problems, engines=engines)
    result = bench("run", write(config, tmp_path / "run.yaml"))
    rows = pd.DataFrame(table(tmp_path / "run"))
    failed = rows[rows["error"].notna()]
    assert result.code == 3
    assert len(rows) == len(set(rows["trial"])) == 6
    assert set(failed["condition"]) == {str(POISON)}
    assert set(failed["search"]) == {"Deadly"}
    assert len(failed) == 1
    assert failed["error"].str.match(r"\d+ engines died while it ran, the last with nothing else to do: ").all()
    assert "1 trials failed and are in no curve" in result.words
    assert "is lost" in result.words


def test_a_full_memory_and_a_hang_cost_no_row(tiny: Make, tmp_path: Path, ray_address: str) -> None:
    mishaps = [Path(os.environ[FOLDER]) / name for name in ("_memory", "_hang")]
    assert "deadly" in sys.modules  # where engines find the module, this process finds it too
    study = {
        "rewards": ["deadly:mishaps"],
        "searches": ["naive", {"name": "best_of_n", "N": 2}],
        "problems": {"conditions": [0, 1, 2, 3, 4, 5]},
    }
    assert bench("run", write(tiny(output="calm", **study), tmp_path / "calm.yaml")).code == 0
    for mishap in mishaps:
        mishap.touch()
    engines = {**RAY, "address": ray_address, "patience": PATIENCE}
    result = bench("run", write(tiny(engines=engines, **study), tmp_path / "run.yaml"))
    assert (result.code, result.err) == (0, "")
    assert table(tmp_path / "run") == table(tmp_path / "calm")
    assert not any(mishap.exists() for mishap in mishaps)
    for reason in ("out of memory with engines.batch = 8", "has not moved for"):
        assert reason in result.words
