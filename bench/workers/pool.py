"""One interface over a worker in this process and over actors on Ray.

A worker is an engine, which takes segments, or a host (:mod:`bench.workers.search_worker`), which takes trials.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from bench.study.study import Study
from bench.workers.building import build_engine
from bench.workers.scorers.pooled import ScorerPool
from tts.engine.recorded import RecordedEngine
from tts.engine.requests import EngineCounters

WAIT_SECONDS = 0.2  # seconds after which a driver checks for other events, such as a signal; a pass may take longer


class Worker(Protocol):
    """The calls that an engine and a host have in common; a thread of its own advances it."""

    @property
    def device(self) -> str:
        """Where it computes."""
        ...

    @property
    def load(self) -> EngineCounters:
        """Its work so far."""
        ...

    @property
    def flops(self) -> float | None:
        """FLOPs of one denoiser forward of one image; None where nothing is computed."""
        ...

    @property
    def busy(self) -> bool:
        """Whether :meth:`advance` has anything to do."""
        ...

    def submit(self, jobs: Any) -> None:
        """Queue work."""
        ...

    def release(self, keys: Any) -> None:
        """Forget states."""
        ...

    def advance(self) -> list[Any]:
        """Work for a while; return what is done by now."""
        ...

    def close(self) -> None:
        """End its threads."""
        ...


@dataclass(frozen=True)
class WorkerFailure:
    """Why an engine is gone; ``innocent``: by no fault of the work that it had, as when its machine went away."""

    reason: str
    innocent: bool = False


@dataclass
class WorkerReport:
    """What an engine has done since it was last asked.

    Args:
        engine: its number.
        outcomes: of jobs; of a host, results of trials.
        load: its work so far.
        wants: of a host, how many more trials it needs.
        nfe: of a host, forwards spent since it was last asked.
        scoring: of an engine, jobs that only wait for their scores.
        lost: the engine is gone, with all that it had.
        device: the engine is there (again), on such a device, and has nothing.
        where: the machine that it is on.
        at: when its work stood so, by its own clock.
        cpu: CPU seconds of its process by then, or by now if it has nothing to do; all threads together.
    """

    engine: int
    outcomes: list[Any] = field(default_factory=list)
    load: EngineCounters = field(default_factory=EngineCounters)
    wants: int | None = None
    nfe: int = 0
    scoring: int = 0
    lost: WorkerFailure | None = None
    device: str | None = None
    where: str = ""
    at: float = 0.0
    cpu: float = 0.0


class Pool(Protocol):
    """Workers, numbered from 0. A job that starts from a state goes to the engine that holds it."""

    engines: int

    @property
    def flops(self) -> float | None:
        """FLOPs of one denoiser forward of one image; None: not known."""
        ...

    def submit(self, engine: int, jobs: Sequence[Any], released: Iterable[int]) -> None:
        """Queue jobs at an engine, and let it forget states."""
        ...

    def wait(self) -> list[WorkerReport]:
        """The reports of engines; waits a short while for them.

        Raises:
            EngineError: the run cannot go on.
        """
        ...

    def describe(self) -> list[str | None]:
        """A word on each engine's device; None while it is not there."""
        ...

    def close(self) -> None:
        """Let the engines go."""
        ...


def collect(
    engine: int, worker: Worker, outcomes: list[Any], at: float | None = None, cpu: float | None = None
) -> WorkerReport:
    """A worker's outcomes with its own report; ``at``, ``cpu``: of the end of its last pass, if they are not of now."""
    report = getattr(worker, "report", None)
    at, cpu = time.monotonic() if at is None else at, time.process_time() if cpu is None else cpu
    return WorkerReport(engine, outcomes, replace(worker.load), **(report() if report else {}), at=at, cpu=cpu)


class LocalPool:
    """One worker in this process, by default an engine; Ray is not imported."""

    engines = 1

    def __init__(self, study: Study, worker: Worker | None = None, scorers: ScorerPool | None = None) -> None:
        self._scorers = scorers
        self.worker = build_engine(study) if worker is None else worker
        self._names: list[str | None] = [describe_device(self.worker.device)]

    @property
    def flops(self) -> float | None:
        return self.worker.flops

    def submit(self, engine: int, jobs: Sequence[Any], released: Iterable[int]) -> None:
        self.worker.submit(jobs)
        self.worker.release(released)

    def wait(self) -> list[WorkerReport]:
        """Advance the worker until something is done, or for a short while."""
        outcomes, until = list[Any](), time.monotonic() + WAIT_SECONDS
        while not outcomes and self.worker.busy and time.monotonic() < until:
            outcomes = self.worker.advance()
        return [collect(0, self.worker, outcomes)]

    def describe(self) -> list[str | None]:
        return self._names

    def close(self) -> None:
        if self._scorers is not None:
            self._scorers.close()
        self.worker.close()


def describe_device(device: str) -> str:
    """The device's own name, as results are compared only between equal ones."""
    import platform

    if device in ("simulated", RecordedEngine.device):
        return device

    import torch

    if device == "cuda":
        return str(torch.cuda.get_device_name())
    return f"{platform.processor() or platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
