"""Engines without a model, to test drivers; a study for them, and a sink for its rows."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tiny_study import TINY

from bench.run.driver import Driver, RunProgress
from bench.store.row import TrialRow
from bench.study.config import RunConfig
from bench.study.study import Study
from bench.workers.pool import WorkerReport
from tts.engine.requests import EngineCounters, EvalRequest, EvalResult
from tts.search.segment import ALL, State
from tts.testing.toy import Recipe, luck

TICK = 0.25  # seconds that an engine charges for a forward; their sums are exact in any order

SEARCHES: list[Any] = [
    "naive",
    {"name": "best_of_n", "N": 3},
    {"name": "random", "N": 3},
    {"name": "beam", "N": 2, "B": 2},
    {"name": "beam", "N": 2, "B": 2, "lookahead": 2},
    {"name": "mcts", "N": 2, "budget": {"S": [1, 5]}},
    {"name": "zero_order", "N": 2, "K": 2},
    {"name": "eps_greedy", "N": 2, "K": 2},
]


def study(oversupply: float = 3.0, batch: int = 4, share: bool = True, **changes: Any) -> Study:
    """Every search on two problems and two rewards."""
    values = {
        **TINY,
        "model": {"name": "cifar10", "sampler": {"steps": 6, "S_max": 90}},
        "rewards": ["brightness", "compressibility"],
        "searches": SEARCHES,
        "engines": {"backend": "local", "batch": batch, "oversupply": oversupply, "share": share},
        "output": "unused",
        **changes,
    }
    return Study(RunConfig.model_validate(values))


def score(name: str, recipe: Recipe) -> float | None:
    """A random-looking reward of a recipe; one in twenty images cannot be scored."""
    value = luck(name, recipe)
    return None if value < 0.05 else value


class FakePool:
    """Engines without a model, whose states are recipes. They check what they are asked.

    Args:
        engines: number of engines.
        of: the study, for the costs of steps and the names of rewards.
        coins: decides which engine answers next, how many of its jobs, in which order, and whether others poll in vain.
        before_wait: called before each wait with the number of jobs under way.
    """

    flops: float | None = None

    def __init__(
        self, engines: int, of: Study, coins: random.Random, before_wait: Callable[[int], None] = lambda _: None
    ) -> None:
        self.engines, self.study, self.coins, self.before_wait = engines, of, coins, before_wait
        self.jobs: list[list[EvalRequest]] = [[] for _ in range(engines)]
        self.states: list[dict[int, Recipe]] = [{} for _ in range(engines)]
        self.answered: set[int] = set()
        self.outcomes: list[EvalResult] = []

    def submit(self, engine: int, jobs: Sequence[EvalRequest], released: Iterable[int]) -> None:
        for key in released:
            assert self.states[engine].pop(key, None) is not None, "released twice, or held elsewhere"
        for job in jobs:
            assert job.ticket not in self.answered
            self._start(engine, job)
        self.jobs[engine] += jobs

    def _start(self, engine: int, job: EvalRequest) -> Recipe:
        """The recipe of the state from which a job starts; that engine must hold the state until the job ends."""
        start = job.segment.start
        if not isinstance(start, State):
            return (start,)
        assert start.engine == engine
        recipe = self.states[engine][start.key]
        assert len(recipe) == start.step + 1
        return recipe

    def wait(self) -> list[WorkerReport]:
        busy = [engine for engine in range(self.engines) if self.jobs[engine]]
        assert busy, "the driver waits for nothing"
        self.before_wait(sum(map(len, self.jobs)))
        chosen = self.coins.sample(range(self.engines), self.coins.randint(1, self.engines))
        return [self.reply(engine, self.coins.randint(0, len(self.jobs[engine]))) for engine in chosen]

    def reply(self, engine: int, count: int) -> WorkerReport:
        """Answers to some of an engine's jobs, in any order; to none if the poll came too early."""
        self.coins.shuffle(self.jobs[engine])
        now, self.jobs[engine] = self.jobs[engine][:count], self.jobs[engine][count:]
        outcomes = [self._answer(engine, job) for job in now]
        self.outcomes += outcomes
        return WorkerReport(engine, outcomes, EngineCounters(rows=len(self.outcomes)))

    def _answer(self, engine: int, job: EvalRequest) -> EvalResult:
        segment = job.segment
        recipe = self._start(engine, job) + segment.noises
        self.states[engine][job.ticket] = recipe
        self.answered.add(job.ticket)
        nfe = self.study.plan.spent(segment.first if isinstance(segment.start, State) else None, segment.noises)
        nfe += self.study.plan.nfe_ahead(segment.stop, segment.ahead)
        seen = recipe + (None,) * min(segment.ahead, self.study.plan.steps - segment.stop)
        outcome = EvalResult(job.ticket, nfe=nfe, seconds=TICK * nfe)
        if job.wants:
            names = list(self.study.rewards) if ALL in job.wants else job.wants
            outcome.scores = {name: score(name, seen) for name in names}
            outcome.decodes, outcome.reward_calls = 1, len(names)
            outcome.image = repr(recipe).encode() if ALL in job.wants else None
        return outcome

    def describe(self) -> list[str | None]:
        return ["fake"] * self.engines

    def close(self) -> None:
        """Nothing to do."""


@dataclass
class Rows:
    """A sink that refuses a second row of a trial.

    It keeps the columns that every run must repeat, and adds up the work that trials shared.
    """

    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    shared_nfe: int = 0
    ticks: int = 0
    full = False

    def add(self, row: TrialRow) -> None:
        """Keep a row."""
        assert row.trial not in self.rows
        self.shared_nfe += row.shared_nfe or 0
        self.rows[row.trial] = {k: v for k, v in row.record().items() if k not in ("shared_nfe", "wall_seconds")}

    def tick(self) -> None:
        """Count the calls."""
        self.ticks += 1


def play(
    of: Study, engines: int = 1, seed: int = 0, **how: Any
) -> tuple[dict[str, dict[str, Any]], RunProgress, FakePool]:
    """Run a study on a fake pool: its rows, the counts, and the pool."""
    rows, pool = Rows(), FakePool(engines, of, random.Random(seed))
    counts = Driver(of, pool, rows, **how).run()
    return rows.rows, counts, pool
