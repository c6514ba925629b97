"""An actor of Ray that is the engine of one study after another, as a process takes seconds to import all."""

from __future__ import annotations

import time
from typing import Any

import ray

from bench.study.config import Engines, RunConfig
from bench.study.study import Study
from bench.workers.on_ray.actors import Whereabouts, WorkerActor
from bench.workers.on_ray.connecting import connect
from bench.workers.on_ray.paths import SearchPath
from bench.workers.on_ray.pool import ActorSlot, RayPool
from bench.workers.pool import WorkerReport


class Standing:
    """The calls of a :class:`WorkerActor`, passed on to the one that it is now."""

    def __init__(self) -> None:
        self.now: WorkerActor | None = None

    def become(self, config: RunConfig, digest: str, path: SearchPath) -> None:
        """Load another study's model, as an actor does when it starts."""
        self.now = WorkerActor(config, digest, 0, path)

    def describe(self) -> Whereabouts:
        assert self.now is not None
        return self.now.describe()

    def submit(self, jobs: Any, released: Any) -> None:
        assert self.now is not None
        self.now.submit(jobs, released)

    def exchange(self, jobs: Any, released: Any) -> WorkerReport:
        assert self.now is not None
        return self.now.exchange(jobs, released)

    def poll(self) -> WorkerReport:
        assert self.now is not None
        return self.now.poll()


class StandingEngine:
    """One such actor, in a connection of the driver's that stays; both are there once a pool was asked for."""

    def __init__(self) -> None:
        self._actor: Any = None

    def pool(self, study: Study, address: str) -> RayPool:
        """A pool of this one engine, on the cluster at an address."""
        if self._actor is None:
            connect(Engines(address=address), 0)
            variables = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
            remote = ray.remote(Standing).options(num_cpus=1, max_concurrency=4, runtime_env={"env_vars": variables})
            self._actor = remote.remote()
        return _Pool(study, self._actor)

    def close(self) -> None:
        """Leave the cluster, and with it the actor."""
        if self._actor is not None:
            ray.shutdown()


class _Pool(RayPool):
    """A pool whose engine is there already."""

    def __init__(self, study: Study, actor: Any) -> None:
        self._actor = actor
        super().__init__(study)

    def _connect(self) -> None:
        self._expected = 1

    def _spawn(self, engine: int, failures: int = 0) -> None:
        ray.get(self._actor.become.remote(self.study.config, self.study.digest(), self._path))
        self._slots[engine] = ActorSlot(self._actor, self._actor.describe.remote(), time.monotonic())

    def close(self) -> None:
        """Nothing: the actor serves the next study."""
