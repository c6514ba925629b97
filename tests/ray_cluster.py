"""One Ray cluster for all tests that need one, as a start takes as long as a small study."""

from __future__ import annotations

from typing import Any

CPUS = 4


class SharedCluster:
    """A cluster of one node on this machine, from when it is first asked for until it is closed."""

    def __init__(self) -> None:
        self._nodes: Any = None

    @property
    def address(self) -> str:
        """The value for ``engines.address``."""
        if self._nodes is None:
            from ray.cluster_utils import Cluster

            head = {"num_cpus": CPUS, "object_store_memory": 80 * 2**20, "include_dashboard": False}
            self._nodes = Cluster(initialize_head=True, head_node_args=head)
        address: str = self._nodes.address
        return address

    def close(self) -> None:
        """End it, if it is there."""
        if self._nodes is not None:
            self._nodes.shutdown()
            self._nodes = None
