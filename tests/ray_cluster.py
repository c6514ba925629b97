"""One Ray cluster for all tests that need one, as starting it takes as long as a small study."""

from __future__ import annotations

from typing import Any

CPUS = 4
FRUGAL: dict[str, Any] = {"object_store_memory": 80 * 2**20, "include_log_monitor": False}
"""Settings of a node: its logs are not forwarded, and its object store stays small."""
FRUGAL_HEAD: dict[str, Any] = {**FRUGAL, "include_dashboard": False, "no_monitor": True}
"""Settings of a head, whose cluster does not grow."""


class SharedCluster:
    """A cluster of one node on this machine; it starts at first use and ends with :meth:`close`."""

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
        """End the cluster if it has started."""
        if self._nodes is not None:
            import ray

            ray.shutdown()  # a driver of several tests may still be there
            self._nodes.shutdown()
            self._nodes = None
