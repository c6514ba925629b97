"""A driver killed at random moments loses nothing that it stored, and resumes to the same table."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

from bench.store import reader as store
from bench.store.schema import TIMED
from bench.study.config import RunConfig

KILLS = 5
PATIENCE = 120.0  # seconds for a driver to store something, on a busy machine


def start(config: Path) -> subprocess.Popen[bytes]:
    """A driver in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "bench", "run", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def kill_after_progress(driver: subprocess.Popen[bytes], folder: Path, moment: float) -> bool:
    """SIGKILL a driver at some moment after it has stored a new part; False if it was done before that."""
    parts, deadline = count_parts(folder), time.monotonic() + PATIENCE
    while count_parts(folder) == parts and driver.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(moment)
    alive = driver.poll() is None
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    return alive


def count_parts(folder: Path) -> int:
    """Finished parts of a run."""
    return len(list((folder / "trials").glob("part-*.parquet")))


def table(folder: Path) -> list[dict[str, Any]]:
    """Every stored row, sorted, without the columns that tell times."""
    rows = [row for part in (folder / "trials").glob("part-*.parquet") for row in pq.read_table(part).to_pylist()]
    plain = [{name: value for name, value in row.items() if name not in TIMED} for row in rows]
    return sorted(plain, key=lambda row: row["trial"])


def write(config: RunConfig, path: Path) -> Path:
    """A configuration as a file."""
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    return path


def test_killed_driver_resumes_to_the_undisturbed_table(tiny: Callable[..., RunConfig], tmp_path: Path) -> None:
    """In this process; on Ray, a driver is killed in test_nodes.py."""
    problems = {"conditions": [0, 1, 2, 3, 4], "seeds": 1}
    calm = tiny(output="calm", problems=problems)
    assert start(write(calm, tmp_path / "calm.yaml")).wait() == 0
    killed = tiny(output="killed", problems=problems, flush_seconds=0.0)
    path, moments = write(killed, tmp_path / "killed.yaml"), random.Random()
    kills = sum(kill_after_progress(start(path), killed.output, moments.uniform(0.0, 0.5)) for _ in range(KILLS))
    assert kills == KILLS
    assert 0 < len(store.done(killed.output)) < len(store.done(calm.output))
    assert start(path).wait() == 0
    assert table(killed.output) == table(calm.output)
    assert not list(killed.output.rglob(".*.tmp"))
