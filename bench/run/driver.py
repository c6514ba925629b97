"""The driver: hands out trials, collects results, until every trial has one.

It knows nothing of tensors or of Ray, nor where searches run: here, over all engines, or beside each of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from bench.run.trial_queue import TrialQueue
from bench.store.completed import CompletedTrials
from bench.store.row import TrialRow, error_row
from bench.study.study import Study
from bench.study.trial import Trial
from bench.workers.active_trial import Lost
from bench.workers.dispatcher import TrialDispatcher
from bench.workers.pool import Pool, WorkerFailure, WorkerReport
from bench.workers.search_runner import SearchRunner
from tts.engine.requests import EngineCounters
from tts.errors import EngineError

PAUSE = 0.05  # seconds between two looks at a store that cannot take more


class Sink(Protocol):
    """Where finished rows go; :class:`bench.run.writer.Writer` is one."""

    @property
    def full(self) -> bool:
        """Whether no trial should be begun until rows have gone."""
        ...

    def add(self, row: TrialRow) -> None:
        """Keep a row."""
        ...

    def tick(self) -> None:
        """Called now and then."""
        ...


class Executor(Protocol):
    """Runs trials: a ``SearchRunner`` in this process, or a ``TrialDispatcher`` that hands them to search workers."""

    nfe: int
    shares: bool
    """Whether trials of one problem should be begun together, as they have work in common."""

    @property
    def ended(self) -> int:
        """Trials that ended while they were begun, as their search failed at once; the next update returns them."""
        ...

    def next_starved(self, among: Collection[int], left: int) -> int | None:
        """The engine that needs work most, if one does; ``left``: trials that are not begun."""
        ...

    def restrict_to(self, engines: Collection[int]) -> None:
        """Begin new work on these engines only."""
        ...

    def trials_on(self, engine: int) -> Collection[Any]:
        """Trials that have anything on an engine."""
        ...

    def start(self, trial: Trial, engine: int) -> None:
        """Begin a trial."""
        ...

    def dispatch(self, left: int = 0) -> None:
        """Send the requests that have gathered; ``left``: trials that are not begun."""
        ...

    def update(self, report: WorkerReport) -> list[TrialRow]:
        """Take in an engine's report; return the trials that have ended."""
        ...

    def lose(self, engine: int) -> Lost:
        """Give up an engine and the trials that were on it."""
        ...


@dataclass
class EngineStatus:
    """An engine as a run sees it.

    Args:
        device, where: its kind and its machine; the kind is None while it is away.
        load, before: its work since it is there, and before.
        losses, loss: how often it was lost, and why at last.
    """

    device: str | None = None
    where: str = ""
    load: EngineCounters = field(default_factory=EngineCounters)
    before: EngineCounters = field(default_factory=EngineCounters)
    losses: int = 0
    loss: str = ""

    @property
    def total(self) -> EngineCounters:
        """All its work in this run."""
        return self.load + self.before


@dataclass
class RunProgress:
    """What a run has done so far, for progress bars and reports.

    ``nfe`` counts this start's forwards as they come back; ``planned`` is what the trials left at this start cost by
    formula: an upper bound for MCTS, and where trials share work; it ends as what was really computed. ``failed``
    trials are done, with an error in place of a result.
    """

    done: int = 0
    trials: int = 0
    failed: int = 0
    nfe: int = 0
    planned: int = 0
    engines: list[EngineStatus] = field(default_factory=list)
    error: str = ""


class Driver:
    """Runs the trials of a study that are not done yet.

    Args:
        study: what to run.
        pool: where work is done: engines, or hosts if the study's searches run beside them.
        sink: takes a row for each finished trial.
        done: trials to leave out.
        progress: called with the counts whenever it may have changed.
        trials: which trials and in which order; left out: all of the study's shard, problem by problem.
    """

    def __init__(
        self,
        study: Study,
        pool: Pool,
        sink: Sink,
        done: CompletedTrials | None = None,
        progress: Callable[[RunProgress], None] = lambda _: None,
        trials: Iterable[Trial] | None = None,
    ) -> None:
        self.study, self.pool, self.sink, self.progress = study, pool, sink, progress
        self.work: Executor = TrialDispatcher(study, pool) if study.beside else SearchRunner(study, pool)
        self.queue = TrialQueue(study, done or CompletedTrials(), trials)
        self.counts = RunProgress(self.queue.done, self.queue.size, planned=self.queue.planned)
        self.counts.engines = [EngineStatus(name) for name in pool.describe()]
        self._quarantined: int | None = None
        self._alone_since = time.monotonic()

    @property
    def up(self) -> list[int]:
        """The engines that are there."""
        return [engine for engine, status in enumerate(self.counts.engines) if status.device is not None]

    def run(self, check_stop: Callable[[], None] = lambda: None) -> RunProgress:
        """Run until every trial has a result or an error.

        Args:
            check_stop: called at least every second while nothing is half done; raises to stop the run there.

        Raises:
            EngineError: no engine is left, or too many trials fail. What was stored stays, and the same command goes
                on from there.
        """
        self.progress(self.counts)
        while self.queue.unfinished:
            check_stop()
            self.schedule()
            self.work.dispatch(self.queue.left)
            for report in self.pool.wait():
                self.update(report)
            self._check()
            self.sink.tick()
            self.progress(self.counts)
        self.work.dispatch()  # the states of the last trials
        return self.counts

    def schedule(self) -> None:
        """Begin trials until every engine has enough to do."""
        if not (full := self.sink.full):
            self._isolate()
        free = [engine for engine in self.up if engine != self._quarantined]
        self.work.restrict_to(free or self.up or range(self.pool.engines))  # open trials go on, also while it is full
        if full:
            time.sleep(PAUSE)
            return
        while (engine := self._starved(free)) is not None:
            trial = self.queue.next()
            assert trial is not None  # some are left
            self.work.start(trial, engine)
            while self.work.shares and (trial := self.queue.next_like(trial)) is not None:
                self.work.start(trial, engine)

    def _starved(self, among: Collection[int]) -> int | None:
        """The engine for a trial to begin on; None: none needs one, none is left, or too many have failed at once."""
        if not self.queue.left or self.work.ended > self.study.config.max_errors:
            return None
        return self.work.next_starved(among, self.queue.left)

    def _isolate(self) -> None:
        """Keep one engine for the trials that may have killed others, once its other work is done.

        While that engine is away, perhaps for good, the first other one that has no work takes its place.
        """
        if self._quarantined in self.up and self.work.trials_on(self._quarantined):
            return
        if not self.queue.suspects:
            self._quarantined = None
            return
        if self._quarantined not in self.up:
            trials = {engine: len(self.work.trials_on(engine)) for engine in self.up}
            among = [engine for engine in trials if self._quarantined is None or not trials[engine]]
            self._quarantined = min(among, key=trials.__getitem__, default=self._quarantined)
        if self._quarantined in self.up and not self.work.trials_on(self._quarantined):
            for trial in self.queue.next_suspects():
                self.work.start(trial, self._quarantined)

    def update(self, report: WorkerReport) -> None:
        """Take in an engine's report."""
        status = self.counts.engines[report.engine]
        if report.lost is not None:
            self._lose(report.engine, report.lost)
            return
        if report.device is not None:
            status.device, status.where = report.device, report.where
            status.before, status.load = status.total, EngineCounters()
            return
        status.load = report.load
        for row in self.work.update(report):
            self._finish(row)
        self.counts.nfe = self.work.nfe

    def _finish(self, row: TrialRow) -> None:
        trial = self.queue.finish(row.trial)
        if trial is None:
            return
        self.sink.add(row)
        self.counts.done = self.queue.done
        spent = (row.nfe or 0) - (row.shared_nfe or 0)
        self.counts.planned += spent - trial.algorithm.nfe(self.study.plan)
        if row.error is not None:
            self.counts.failed, self.counts.error = self.counts.failed + 1, row.error

    def _lose(self, engine: int, loss: WorkerFailure) -> None:
        """Put a lost engine's trials back; trials that saw too many losses become errors."""
        status = self.counts.engines[engine]
        status.device, status.losses, status.loss = None, status.losses + 1, loss.reason
        self._alone_since = time.monotonic()
        at_work, others = self.work.lose(engine)
        suspects = [trial for trial in others if trial.alone]
        self.queue.put_back(trial for trial in others if not trial.alone)
        for trial in self.queue.lose([*at_work, *suspects], loss.innocent):
            reason = f"{self.queue.histories[trial.key]}, the last with nothing else to do: {loss.reason}"
            self._finish(error_row(trial, self.study.model.label(trial.condition), reason))

    def _check(self) -> None:
        """End a run that cannot succeed."""
        if self.counts.failed > self.study.config.max_errors:
            raise EngineError(
                f"{self.counts.failed} trials failed, more than max_errors = {self.study.config.max_errors}; the last: "
                f"{self.counts.error}; mend it and run the same command with --retry-errors"
            )
        patience = self.study.config.engines.start_seconds
        if self.up:
            self._alone_since = time.monotonic()
        elif time.monotonic() - self._alone_since > patience:
            reasons = [status.loss for status in self.counts.engines if status.loss]
            reason = f" (the last one: {reasons[-1]})" if reasons else ""
            raise EngineError(
                f"no engine for engines.start_seconds = {patience:g}{reason}; run the same command to resume"
            )
