"""One study on several nodes through every mishap: the table is that of an undisturbed run."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deadly import FOLDER, HURRY
from driver_processes import DriverProcess, table, write
from ray_cluster import FRUGAL, FRUGAL_HEAD

from bench.study.config import RunConfig

QUICK_HEALTH = {
    "health_check_initial_delay_ms": 500,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 1000,
    "health_check_failure_threshold": 3,
}
PATIENCE = 180.0  # seconds for anything, on a busy machine
SEARCHES = [{"name": "eps_greedy", "N": 2, "K": 2}, {"name": "best_of_n", "N": 3}, "naive"]


class Cluster:
    """A head without work and nodes of one CPU each, all on this machine."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster as Nodes

        head = {"num_cpus": 0, "_system_config": QUICK_HEALTH, **FRUGAL_HEAD}
        self.nodes = Nodes(initialize_head=True, head_node_args=head)
        self.address: str = self.nodes.address

    def add(self) -> Any:
        """Another node."""
        return self.nodes.add_node(num_cpus=1, **FRUGAL)

    def remove(self, node: Any) -> None:
        """A node goes, with everything on it, without a word."""
        self.nodes.remove_node(node, allow_graceful=False)

    @staticmethod
    def engines_of(node: Any) -> list[int]:
        """Processes of engines on a node."""
        [raylet] = [info.process.pid for info in node.all_processes["raylet"]]
        return [pid for pid in _children(raylet) if b"WorkerActor" in _command(pid)]


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in tasks.read_text().split()] if tasks.exists() else []


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A cluster while it is needed."""
    made = Cluster()
    try:
        yield made
    finally:
        made.nodes.shutdown()


def status(folder: Path) -> dict[str, Any]:
    """What a run last said of itself."""
    path = folder / "status.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"done": 0, "engines": []}
    return found


def waited(what: str, true: Callable[[], Any]) -> float:
    """Wait until something is true; seconds that took."""
    begin = time.monotonic()
    while not true():
        assert time.monotonic() - begin < PATIENCE, what
        time.sleep(0.05)
    return time.monotonic() - begin


def losses(folder: Path) -> int:
    """Engines lost so far."""
    return sum(engine["losses"] for engine in status(folder)["engines"])


def there(folder: Path) -> int:
    """Engines at work."""
    return sum(engine["device"] is not None for engine in status(folder)["engines"])


def test_one_study_through_every_mishap(tiny: Callable[..., RunConfig], tmp_path: Path) -> None:
    problems = {"conditions": "all", "seeds": 2}
    study = {"problems": problems, "rewards": ["deadly:unhurried"], "searches": SEARCHES, "flush_seconds": 0.0}
    hurry = Path(os.environ[FOLDER]) / HURRY
    hurry.touch()
    calm = tiny(output="calm", **study)
    undisturbed = DriverProcess(write(calm, tmp_path / "calm.yaml"))
    took: dict[str, float] = {}
    with cluster() as ours:
        first, second = ours.add(), ours.add()
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
        took["replaced"] = waited("the first engine again", lambda: there(folder) >= 2)

        [frozen] = ours.engines_of(second)
        os.kill(frozen, signal.SIGSTOP)
        took["SIGSTOP noticed"] = waited("the silence", lambda: losses(folder) == 2)
        took["frozen process ended"] = waited("its end", lambda: not Path(f"/proc/{frozen}").exists())

        waited("an engine", lambda: there(folder) >= 1)
        ours.remove(first)
        took["node's removal noticed"] = waited("the node's end", lambda: losses(folder) >= 3)

        driver.send_signal(signal.SIGKILL)
        driver.wait()
    hurry.touch()
    assert 0 < len(table(folder)) < len(table(tmp_path / "calm"))
    begin = time.monotonic()
    assert DriverProcess(write(tiny(output="run", **study), path)).wait() == 0  # with an engine in its own process
    took["resumed to the end"] = time.monotonic() - begin
    print({name: round(seconds, 1) for name, seconds in took.items()})  # noqa: T201  (shown with -s)
    hurry.unlink()
    assert table(folder) == table(tmp_path / "calm")
