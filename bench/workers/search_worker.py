"""Run searches beside their engine: it takes trials as an engine takes jobs, and returns rows."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterable

from bench.store.row import TrialRow
from bench.study.study import Study
from bench.study.trial import Trial
from bench.workers.building import build_engine
from bench.workers.pool import LocalPool, Worker
from bench.workers.scorers.pooled import ScorerPool
from bench.workers.search_runner import SearchRunner
from tts.engine.requests import EngineCounters

AHEAD_SECONDS = 4.0
"""Trials are kept ready for this long: two polls of the driver."""


class SearchWorker:
    """An engine with the searches of its own trials; the calls are those of :class:`tts.engine.batching.Engine`.

    Args:
        study: what the trials belong to.
        engine: evaluates their segments.
    """

    def __init__(self, study: Study, engine: Worker) -> None:
        self.engine, self.searches = engine, SearchRunner(study, LocalPool(study, engine))
        self._engines = study.config.engines
        self._waiting: deque[Trial] = deque()
        self._rate, self._rows, self._since = 0.0, 0, time.monotonic()
        self._width, self._nfe = 1.0, 1
        self._told = 0

    @property
    def device(self) -> str:
        """The engine's device."""
        return self.engine.device

    @property
    def flops(self) -> float | None:
        """The denoiser's FLOPs."""
        return self.engine.flops

    @property
    def load(self) -> EngineCounters:
        """The engine's work so far."""
        return self.engine.load

    @property
    def busy(self) -> bool:
        """Whether :meth:`advance` has anything to do."""
        return bool(self._waiting or self.searches.open or self.engine.busy)

    def report(self) -> dict[str, int]:
        """Trials that it needs and forwards spent, for :class:`bench.workers.pool.WorkerReport`."""
        nfe, self._told = self.searches.nfe - self._told, self.searches.nfe
        return {"wants": self._wants(), "nfe": nfe}

    @property
    def starving(self) -> bool:
        """Whether a trial could be begun at once, if there were one."""
        return not self._waiting and self._starved()

    def _starved(self) -> bool:
        """Whether too few segments are in flight; a trial that is at its narrowest now will ask for more later."""
        return self.searches.next_starved((0,)) is not None and len(self.searches.open) < 2 * self._open_at_once()

    def _open_at_once(self) -> float:
        """Trials that keep the engine over-supplied."""
        return self._engines.oversupply * self._engines.batch / self._width

    def _wants(self) -> int:
        """How many more trials it needs to stay over-supplied for a while; below zero, if it has more than that."""
        ahead = AHEAD_SECONDS * self._rate
        return math.ceil(self._open_at_once() + ahead) - len(self.searches.open) - len(self._waiting)

    def submit(self, trials: Iterable[Trial]) -> None:
        """Queue trials."""
        self._waiting.extend(trials)

    def release(self, keys: Iterable[str]) -> None:
        """Do nothing: a host manages the states of its trials itself."""

    def advance(self) -> list[TrialRow]:
        """Open trials until the engine has enough to do, and go on until an outcome is there."""
        while self._waiting and self._starved():
            trial = self._waiting.popleft()
            self._begin(trial)
            while self.searches.shares and self._waiting and self._waiting[0].shares_with(trial):
                self._begin(self._waiting.popleft())
        self.searches.dispatch(len(self._waiting))
        ended = [row for report in self.searches.pool.wait() for row in self.searches.update(report)]
        self._measure()
        return ended

    def close(self) -> None:
        """End the engine's threads."""
        self.engine.close()

    def _begin(self, trial: Trial) -> None:
        """Begin a trial, and note how wide such trials are and how much they cost."""
        algorithm, plan = trial.algorithm, self.searches.plan
        self._width = max(1.0, algorithm.nfe(plan) / algorithm.depth(plan))
        self._nfe = algorithm.nfe(plan)
        self.searches.start(trial)

    def _measure(self) -> None:
        """Trials a second, by the engine's speed: to count them as they end would be too late, when all end at once."""
        rows, now = self.engine.load.rows, time.monotonic()
        if now - self._since >= 1.0:
            self._rate = (rows - self._rows) / (now - self._since) / max(1, self._nfe)
            self._rows, self._since = rows, now


def make_worker(study: Study, scorers: ScorerPool | None = None) -> Worker:
    """An engine, with the searches of its trials beside it if that is how the study runs.

    Args:
        scorers: compute some of its rewards.
    """
    engine = build_engine(study, scorers=scorers)
    return SearchWorker(study, engine) if study.beside else engine
