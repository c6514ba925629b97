"""Where work is done: one interface over a worker in this process and over actors on Ray.

A worker is an engine, which takes segments, or a host (:mod:`bench.workers.search_worker`), which takes trials.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from bench.study.study import Study
from bench.workers.numerics import set_numerics
from bench.workers.prompts import load_model
from bench.workers.simulated import SimulatedEngine
from tts.engine.recorded import RecordedEngine
from tts.engine.requests import EngineCounters
from tts.errors import EngineError
from tts.metrics.base import Metric
from tts.models.table import Table

if TYPE_CHECKING:
    from tts.engine.batching import Engine
    from tts.models.base import Model
    from tts.rewards.base import Reward


WAIT_SECONDS = 0.2  # between a driver's looks at what else has happened, such as a signal; a pass may take longer


class Worker(Protocol):
    """What an engine and a host have in common; a thread of its own advances it."""

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
        """Work for a while; what is done by now."""
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
        lost: the engine is gone, with all that it had.
        device: the engine is there (again), on such a device, and has nothing.
        where: the machine that it is on.
        at: when its work stood so, by its own clock.
    """

    engine: int
    outcomes: list[Any] = field(default_factory=list)
    load: EngineCounters = field(default_factory=EngineCounters)
    wants: int | None = None
    nfe: int = 0
    lost: WorkerFailure | None = None
    device: str | None = None
    where: str = ""
    at: float = 0.0


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
        """What engines have to say; waits for that, if not for long.

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


def collect(engine: int, worker: Worker, outcomes: list[Any], at: float | None = None) -> WorkerReport:
    """A worker's outcomes with what it says of itself; ``at``: when it last ended a pass, if that is not now."""
    report = getattr(worker, "report", None)
    at = time.monotonic() if at is None else at
    return WorkerReport(engine, outcomes, replace(worker.load), **(report() if report else {}), at=at)


def build_engine(study: Study, batches: Sequence[int] = ()) -> Engine | SimulatedEngine | RecordedEngine:
    """The engine of a study on this machine, checked to keep rows apart; of a table, what looks rewards up in it.

    Args:
        batches: sizes to try in this order, the first that keeps rows apart is taken; none: the study's own.

    Raises:
        EngineError: the device is not there, or a row's result depends on the rows beside it.
    """
    engines = study.config.engines
    if engines.simulate is not None:
        return SimulatedEngine(study)
    if isinstance(study.model, Table):
        return RecordedEngine(study.model.table, study.rewards)
    import torch

    from tts.engine.device_errors import named

    if engines.device == "cuda" and not torch.cuda.is_available():
        raise EngineError("engines.device: cuda is asked for, but torch finds no GPU; set engines.device=cpu")
    set_numerics(engines)
    with named(engines.batch):
        return _build(study, batches or [engines.batch])


def _build(study: Study, batches: Sequence[int]) -> Engine:
    from tts.engine.batching import Engine, flops_of
    from tts.engine.score_checks import Judged, equal_shapes

    engines, condition = study.config.engines, study.conditions[0]
    model = load_model(study)
    flops = flops_of(model, condition, engines.device)
    if engines.compile:
        model.module.compile(dynamic=False)
    second = engines.reward_device
    rewards = {name: settings.load(second, study.model.caption) for name, settings in study.rewards.items()}
    metrics = load_metrics(study, second)
    batch = _first_sound(study, model, Judges(rewards, metrics), batches, second)
    scored = engines.score_batch or batch
    judged = Judged(model, rewards, metrics, condition, engines.device, second)
    engine = Engine(
        model,
        rewards,
        batch,
        engines.device,
        scored,
        second,
        metrics=metrics,
        host_threads=engines.host_threads,
        score_shapes=equal_shapes(judged, scored),
    )
    engine.flops = flops
    return engine


def load_metrics(study: Study, device: str) -> dict[str, Metric]:
    """The extractors of a study's metrics, each once."""
    settings = {metric.extractor: metric for metric in study.metrics.values()}
    return {extractor: metric.load(device) for extractor, metric in settings.items()}


class Judges(NamedTuple):
    """What looks at images: rewards by name, and extractors of features by what they are."""

    rewards: Mapping[str, Reward]
    metrics: Mapping[str, Metric]


def _first_sound(study: Study, model: Model, judges: Judges, batches: Sequence[int], second: str) -> int:
    """The first batch whose rows do not depend on one another; EngineError, with what keeps from the first: none."""
    obstacles: list[str] = []
    for batch in batches:
        obstacle = _obstacle(study, model, judges, batch, second)
        if obstacle is None:
            return batch
        obstacles.append(obstacle)
    raise EngineError(obstacles[0])


def _obstacle(study: Study, model: Model, judges: Judges, batch: int, second: str) -> str | None:
    """A sentence on what lets a row of a batch depend on the rows beside it; None: nothing."""
    from tts.engine.batching import rows_are_independent
    from tts.engine.features import first_dependent_features
    from tts.engine.score_checks import first_dependent_score

    engines, condition = study.config.engines, study.conditions[0]
    if not rows_are_independent(model, batch, condition, engines.device):
        return (
            f"engines.batch = {batch}: on this device a row's result depends on the rows beside it, so that no "
            "result could be repeated; try another batch size"
        )
    scored = engines.score_batch or batch
    dependent = first_dependent_score(
        model, judges.rewards, scored, condition, engines.device, second
    ) or first_dependent_features(model, judges.metrics, scored, engines.device, second)
    if dependent is None:
        return None
    return (
        f"engines.score_batch = {scored}: on this device {dependent} lets an image's value depend on the images "
        "beside it, so that no result could be repeated; try another one"
    )


class LocalPool:
    """One worker in this process, an engine if nothing else is said. Ray is not even imported."""

    engines = 1

    def __init__(self, study: Study, worker: Worker | None = None) -> None:
        self.worker = build_engine(study) if worker is None else worker
        self._names: list[str | None] = [describe_device(self.worker.device)]

    @property
    def flops(self) -> float | None:
        """See :class:`Pool`."""
        return self.worker.flops

    def submit(self, engine: int, jobs: Sequence[Any], released: Iterable[int]) -> None:
        """See :class:`Pool`."""
        self.worker.submit(jobs)
        self.worker.release(released)

    def wait(self) -> list[WorkerReport]:
        """See :class:`Pool`."""
        outcomes, until = list[Any](), time.monotonic() + WAIT_SECONDS
        while not outcomes and self.worker.busy and time.monotonic() < until:
            outcomes = self.worker.advance()
        return [collect(0, self.worker, outcomes)]

    def describe(self) -> list[str | None]:
        """See :class:`Pool`."""
        return self._names

    def close(self) -> None:
        """See :class:`Pool`."""
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
