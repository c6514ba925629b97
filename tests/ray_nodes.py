"""A Ray cluster of several nodes on this machine, and what a run on it reports."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ray_cluster import FRUGAL, FRUGAL_HEAD

QUICK_HEALTH = {
    "health_check_initial_delay_ms": 500,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 1000,
    "health_check_failure_threshold": 3,
}
PATIENCE = 180.0  # seconds to wait for anything, on a busy machine


class Cluster:
    """A head that takes no work and nodes of one CPU each, all on this machine."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster as Nodes

        head = {"num_cpus": 0, "_system_config": QUICK_HEALTH, **FRUGAL_HEAD}
        self.nodes = Nodes(initialize_head=True, head_node_args=head)
        self.address: str = self.nodes.address

    def add(self, wait: bool = True) -> Any:
        """Add another node; return before it has joined, if ``wait`` is false."""
        return self.nodes.add_node(wait=wait, num_cpus=1, **FRUGAL)

    def remove(self, node: Any) -> None:
        """Remove a node with everything on it, without notice."""
        self.nodes.remove_node(node, allow_graceful=False)

    @staticmethod
    def engines_of(node: Any) -> list[int]:
        """Process ids of the engines on a node."""
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
    """A cluster that ends with the context."""
    made = Cluster()
    try:
        yield made
    finally:
        made.nodes.shutdown()


def status(folder: Path) -> dict[str, Any]:
    """The last status of a run."""
    path = folder / "status.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"done": 0, "engines": []}
    return found


def waited(what: str, true: Callable[[], Any]) -> float:
    """Wait until something is true; returns the seconds that it took."""
    begin = time.monotonic()
    while not true():
        assert time.monotonic() - begin < PATIENCE, what
        time.sleep(0.05)
    return time.monotonic() - begin


def losses(folder: Path) -> int:
    """Number of engines lost so far."""
    return sum(engine["losses"] for engine in status(folder)["engines"])


def there(folder: Path) -> int:
    """Number of engines at work."""
    return sum(engine["device"] is not None for engine in status(folder)["engines"])
