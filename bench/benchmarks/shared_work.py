"""Measure the cost of a curve when its budgets and rewards run together, against separate runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from bench.report.scaling import Uncollected
from bench.run.driver import Driver
from bench.store.row import TrialRow
from bench.study.config import RunConfig, load
from bench.study.study import Study
from bench.workers.backends import make_pool
from tts.settings import parse

REWARDS = ["brightness", "compressibility", "class_probability"]

CURVES: dict[str, list[dict[str, Any]]] = {
    "best_of_n, N = 1..16": [{"name": "best_of_n", "budget": {"N": [1, 2, 4, 8, 16]}}],
    "eps_greedy, K = 1..8": [{"name": "eps_greedy", "N": 4, "budget": {"K": [1, 2, 4, 8]}}],
    "zero_order, K = 1..8": [{"name": "zero_order", "N": 4, "budget": {"K": [1, 2, 4, 8]}}],
    "random, N = 4..16": [{"name": "random", "budget": {"N": [4, 8, 16]}}],
}
"""Curves of one search each; run on three rewards."""


@dataclass(frozen=True)
class Shared:
    """Forwards of a set of trials.

    Args:
        curve: what it is.
        trials: how many.
        together: in one run.
        separate: in a run for each point of each search, all rewards together.
        alone: what each trial costs by itself, summed.
    """

    curve: str
    trials: int
    together: int
    separate: int
    alone: int

    @property
    def of_separate(self) -> float:
        """Of the forwards of separate runs, the share that one run takes."""
        return self.together / self.separate

    @property
    def of_alone(self) -> float:
        """Of the forwards of trials by themselves, the share that one run takes."""
        return self.together / self.alone


@dataclass
class _Costs(Uncollected):
    """A sink that adds up what rows say of their cost."""

    nfe: int = 0

    def add(self, row: TrialRow) -> None:
        """Count a row."""
        super().add(row)
        self.nfe += row.nfe or 0


def curve_config(searches: list[dict[str, Any]], problems: int, **engines: Any) -> RunConfig:
    """Searches on three rewards and the embedded model, in this process.

    Args:
        problems: a multiple of ten, or less than that.
        engines: for example ``simulate=0``, to count forwards without computing them.
    """
    conditions, seeds = (list(range(problems)), 1) if problems < 10 else ("all", problems // 10)
    values = {
        "model": "cifar10",
        "rewards": REWARDS,
        "searches": searches,
        "problems": {"conditions": conditions, "seeds": seeds},
        "engines": {"backend": "local", **engines},
        "output": "unused",
    }
    return parse(RunConfig, values, "benchmark")


def reference_config(name: str = "cifar10-reference") -> RunConfig:
    """A configuration that ships, by an engine that computes nothing."""
    return load(name, ["engines={backend: local, simulate: 0}"])


def shared_work(curve: str, config: RunConfig) -> Shared:
    """Run a configuration whole, and each point of its searches by itself."""
    whole = Study(config)
    together, alone = _spent(whole)
    separate = sum(_spent(Study(point))[0] for point in _points(whole))
    return Shared(curve, whole.size, together, separate, alone)


def _points(study: Study) -> Iterator[RunConfig]:
    """A configuration for each point of each search."""
    for entry in study.entries:
        search = {"name": entry.name, **entry.algorithm.record()}
        yield study.config.model_copy(update={"searches": [search]})


def _spent(study: Study) -> tuple[int, int]:
    """Forwards that a run computes, and those that its rows tell of."""
    sink = _Costs()
    with closing(make_pool(study)) as pool:
        counts = Driver(study, pool, sink).run()
    assert sink.failed is None  # ours do not fail
    return counts.nfe, sink.nfe
