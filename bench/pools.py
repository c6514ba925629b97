"""Where segments are evaluated: one interface over an engine in this process and over engine actors on Ray."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bench.study import Study
from tts.engine import (
    Engine,
    Job,
    Load,
    Outcome,
    first_dependent_score,
    memory_named,
    rows_are_independent,
)
from tts.errors import EngineError


@dataclass
class Replies:
    """What an engine has done since it was last asked."""

    engine: int
    outcomes: list[Outcome] = field(default_factory=list)
    load: Load = field(default_factory=Load)


class Pool(Protocol):
    """Engines, numbered from 0. A job that starts from a state goes to the engine that holds it."""

    engines: int

    def submit(self, engine: int, jobs: Sequence[Job], released: Iterable[int]) -> None:
        """Queue jobs at an engine, and let it forget states."""
        ...

    def wait(self) -> list[Replies]:
        """Outcomes of at least one job, from whichever engine has some; returns at once only if it has to.

        Raises:
            EngineError: an engine died or failed.
        """
        ...

    def describe(self) -> list[str]:
        """A word on each engine's device."""
        ...

    def close(self) -> None:
        """Let the engines go."""
        ...


def build_engine(study: Study) -> Engine:
    """The engine of a study on this machine, checked to keep rows apart.

    Raises:
        EngineError: the device is not there, or a row's result depends on the rows beside it.
    """
    import torch

    engines = study.config.engines
    if engines.device == "cuda" and not torch.cuda.is_available():
        raise EngineError("engines.device: cuda is asked for, but torch finds no GPU; set engines.device=cpu")
    torch.set_num_threads(engines.threads)
    with memory_named(engines.batch):
        return _build(study)


def _build(study: Study) -> Engine:
    engines, condition = study.config.engines, study.conditions[0]
    model = study.model.load(engines.device)
    rewards = {name: settings.load(engines.device, study.model.caption) for name, settings in study.rewards.items()}
    if not rows_are_independent(model, engines.batch, condition, engines.device):
        raise EngineError(
            f"engines.batch = {engines.batch}: on this device a row's result depends on the rows beside it, so that no "
            "result could be repeated; try another batch size"
        )
    scored = engines.score_batch or engines.batch
    dependent = first_dependent_score(model, rewards, scored, condition, engines.device)
    if dependent is not None:
        raise EngineError(
            f"engines.score_batch = {scored}: on this device {dependent} lets an image's value depend on the images "
            "beside it, so that no result could be repeated; try another one"
        )
    return Engine(model, rewards, engines.batch, engines.device, scored)


class LocalPool:
    """One engine in this process. Ray is not even imported."""

    engines = 1

    def __init__(self, study: Study) -> None:
        self.engine = build_engine(study)

    def submit(self, engine: int, jobs: Sequence[Job], released: Iterable[int]) -> None:
        """See :class:`Pool`."""
        self.engine.submit(jobs)
        self.engine.release(released)

    def wait(self) -> list[Replies]:
        """See :class:`Pool`."""
        outcomes: list[Outcome] = []
        while not outcomes and self.engine.busy:
            outcomes = self.engine.advance()
        return [Replies(0, outcomes, self.engine.load)]

    def describe(self) -> list[str]:
        """See :class:`Pool`."""
        return [describe_device(self.engine.device)]

    def close(self) -> None:
        """See :class:`Pool`."""
        self.engine.close()


def describe_device(device: str) -> str:
    """The device's own name, as results are compared only between equal ones."""
    import platform

    import torch

    if device == "cuda":
        return str(torch.cuda.get_device_name())
    return f"{platform.processor() or platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
