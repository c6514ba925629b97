"""One Ray cluster for all tests that need one, as a start takes as long as a small study."""

from __future__ import annotations

from typing import Any

CPUS = 4
FRUGAL: dict[str, Any] = {"object_store_memory": 80 * 2**20, "include_log_monitor": False}
"""Settings of a node: nobody reads its logs elsewhere, and nothing is stored there."""
FRUGAL_HEAD: dict[str, Any] = {**FRUGAL, "include_dashboard": False, "no_monitor": True}
"""Those of a head: nor does its cluster grow."""


class SharedCluster:
    """A cluster of one node on this machine, from when it is first asked for until it is closed."""

    def __init__(self) -> None:
        self._nodes: Any = None

    @property
    def address(self) -> str:
        """The value for ``engines.address``."""
        if self._nodes is None:
            from ray.cluster_utils import Cluster

            self._nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": CPUS, **FRUGAL_HEAD})
        address: str = self._nodes.address
        return address

    def close(self) -> None:
        """End it, if it is there."""
        if self._nodes is not None:
            import ray

            ray.shutdown()  # a driver of several tests may still be there
            self._nodes.shutdown()
            self._nodes = None
