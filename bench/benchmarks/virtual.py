"""Measure one driver with hundreds of engines: real messages from a few processes that each simulate many hosts."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import ray

from bench.benchmarks.simulated import BATCH, PASS_SECONDS, Share, simulated_study, watch
from bench.store.row import TrialRow, identity_columns
from bench.study.config import Engines
from bench.study.study import Study
from bench.study.trial import Trial
from bench.workers.on_ray.actors import HOST_POLL_SECONDS
from bench.workers.on_ray.connecting import connect
from bench.workers.pool import WorkerReport
from tts.engine.requests import EngineCounters

PROCESSES = 8


@dataclass
class _Host:
    """A simulated host: its trials, and the progress of its engine."""

    waiting: deque[Trial] = field(default_factory=deque)
    since: float = field(default_factory=time.monotonic)
    credit: float = 0.0
    done: int = 0


class VirtualHosts:
    """Simulates hosts: each finishes trials at the rate of a full engine while it has any."""

    def __init__(self, trials_per_second: float, nfe: int) -> None:
        self.rate, self.nfe = trials_per_second, nfe
        self.hosts: dict[int, _Host] = {}

    async def submit(self, engine: int, trials: Sequence[Trial]) -> None:
        """Take trials."""
        self.hosts.setdefault(engine, _Host()).waiting.extend(trials)

    async def poll(self, engine: int) -> WorkerReport:
        """The trials that a host finished in the usual time."""
        await asyncio.sleep(HOST_POLL_SECONDS)
        host, now = self.hosts.setdefault(engine, _Host()), time.monotonic()
        host.credit += (now - host.since) * self.rate
        host.since = now
        ended = [host.waiting.popleft() for _ in range(min(int(host.credit), len(host.waiting)))]
        host.credit = min(host.credit - len(ended), 1.0)  # time without trials is lost
        host.done += len(ended)
        results = [_row(trial, self.nfe) for trial in ended]
        wants = round(self.rate * 3 * HOST_POLL_SECONDS) - len(host.waiting)
        rows = host.done * self.nfe
        load = EngineCounters(rows // BATCH, rows, rows / BATCH * PASS_SECONDS)
        return WorkerReport(engine, results, load, wants, self.nfe * len(ended), at=now)


def _row(trial: Trial, nfe: int) -> TrialRow:
    """A row as large as a real one without its image."""
    noises = [{"seed": 2**62 + step, "moves": [{"seed": step, "radius": 0.1}]} for step in range(13)]
    identity = identity_columns(trial, "cat")
    return TrialRow(**identity, value=0.5, nfe=nfe, device="virtual", noises=noises, scores={"brightness": 0.5})


class VirtualPool:
    """Simulated hosts, each with a pending long poll, as in :class:`bench.workers.on_ray.pool.RayPool`."""

    flops = None

    def __init__(self, study: Study, engines: int) -> None:
        self.engines = engines
        connect(Engines(), PROCESSES)
        algorithm, plan = study.entries[0].algorithm, study.plan
        rate = BATCH / PASS_SECONDS / algorithm.nfe(plan)
        remote = ray.remote(VirtualHosts).options(num_cpus=0, max_concurrency=1000)
        self._actors = [remote.remote(rate, algorithm.nfe(plan)) for _ in range(PROCESSES)]
        self._polls = {self._actor(engine).poll.remote(engine): engine for engine in range(engines)}

    def _actor(self, engine: int) -> Any:
        return self._actors[engine % PROCESSES]

    def submit(self, engine: int, jobs: Sequence[Any], released: Iterable[int]) -> None:
        self._actor(engine).submit.remote(engine, list(jobs))

    def wait(self) -> list[WorkerReport]:
        polls = list(self._polls)
        ray.wait(polls, num_returns=1, timeout=1.0, fetch_local=False)
        ready, _ = ray.wait(polls, num_returns=len(polls), timeout=0, fetch_local=False)
        found = []
        for poll in ready:
            engine = self._polls.pop(poll)
            found.append(ray.get(poll))
            self._polls[self._actor(engine).poll.remote(engine)] = engine
        return found

    def describe(self) -> list[str | None]:
        return ["virtual"] * self.engines

    def close(self) -> None:
        ray.shutdown()


def virtual_share(engines: int, seconds: float = 15.0) -> Share:
    """The same as :func:`bench.benchmarks.simulated.harness_share` for hundreds of workers that a few processes play.

    Returns:
        A share that says whether they had trials all the time.
    """
    study = simulated_study(engines, "engine")
    with closing(VirtualPool(study, engines)) as pool:
        return watch(study, pool, seconds)
