"""Workers as actors on Ray.

Each actor has a device thread of its own: the driver drops work into its queue and takes outcomes out by a long poll.
The thread waits for a message only where its next pass would have room, and for half a pass at most.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.util.metrics import Counter, Gauge

from bench.study.config import RunConfig
from bench.study.study import Study
from bench.workers.on_ray.paths import SearchPath
from bench.workers.pool import Worker, WorkerReport, collect, describe_device
from bench.workers.scorers.pooled import ScorerPool
from bench.workers.search_worker import make_worker
from tts.errors import EngineError, TTSError, first_line

POLL_SECONDS = 1.0
HOST_POLL_SECONDS = 2.0  # a host's results can wait; each message costs the driver a millisecond
STARVING_SECONDS = 0.2  # a host that could use more trials says so this often
ROWS_AT_ONCE = 256  # results of a host in one message
ANSWER_SHARE = 0.5  # of a pass: how long a batch that is not full waits at most for answers to what was just told
SLOW_PASSES = 20.0  # an engine hangs, if it takes so many times longer than ever before


@dataclass(frozen=True)
class Whereabouts:
    """What an actor says once it has loaded its model: its device, machine and process, and the denoiser's FLOPs."""

    device: str
    node: str
    host: str
    pid: int
    flops: float | None = None


class WorkerActor:
    """An engine or a host with a device thread, behind a few calls."""

    def __init__(
        self,
        config: RunConfig,
        digest: str,
        index: int,
        path: SearchPath | None = None,
        scorers: ScorerPool | None = None,
    ) -> None:
        if path is not None:
            path.append()
        self.index, self.study = index, Study(config)
        if self.study.digest() != digest:
            raise EngineError(f"engine {index}: its machine has other weights or another version of this package")
        self.worker = self._made_worker(scorers)
        self.changed = threading.Condition()
        self.inbox: list[Any] = []
        self.released: list[int] = []
        self.outbox: list[Any] = []
        self.failure: BaseException | None = None
        self.moved, self.polled, self.slowest, self.latest = time.monotonic(), 0.0, 0.0, 0.0
        self.spent = time.process_time()
        self.answered = True  # whether the driver has sent anything since it was told of outcomes
        self.meters = Meters(index)
        threading.Thread(target=self._work, name="device", daemon=True).start()

    def _made_worker(self, scorers: ScorerPool | None) -> Worker:
        """The worker; its error is made one line here, as Ray passes on only the text of one, traceback and all."""
        try:
            return make_worker(self.study, scorers)
        except TTSError:
            raise
        except Exception as error:
            raise self._told(error) from error

    def describe(self) -> Whereabouts:
        """Answers only once the model is loaded."""
        node = ray.get_runtime_context().get_node_id()
        worker = self.worker
        return Whereabouts(describe_device(worker.device), node, os.uname().nodename, os.getpid(), worker.flops)

    def submit(self, jobs: Sequence[Any], released: Sequence[int]) -> None:
        """Queue work and forget states."""
        with self.changed:
            if not self._has_work():
                self.moved = time.monotonic()
            self.inbox += jobs
            self.released += released
            self.answered = True
            self.changed.notify_all()

    def exchange(self, jobs: Sequence[Any], released: Sequence[int]) -> WorkerReport:
        """Both in one message: queue work, then wait for outcomes."""
        self.submit(jobs, released)
        return self.poll()

    def poll(self) -> WorkerReport:
        """Outcomes since the last poll; waits a second or two for some."""
        with self.changed:
            if not self.outbox:  # the driver has nothing to add to what it was told
                self.answered = True
                self.changed.notify_all()
            self.changed.wait_for(self._urgent, timeout=HOST_POLL_SECONDS if self.study.beside else POLL_SECONDS)
            if self.failure is not None:
                raise self._told(self.failure)
            self._refuse_to_hang()
            outcomes, self.outbox = self.outbox, []
            self.polled = time.monotonic()
            spent = self.spent if self._has_work() else time.process_time()
        report = collect(self.index, self.worker, outcomes, self.moved, spent)
        self.meters.show(report)
        return report

    def _urgent(self) -> bool:
        """Whether the driver should hear at once: an engine's every outcome, a host's only when it matters."""
        if self.failure is not None:
            return True
        if not self.study.beside:
            return bool(self.outbox)
        starving = getattr(self.worker, "starving", False) and time.monotonic() - self.polled > STARVING_SECONDS
        return starving or len(self.outbox) >= ROWS_AT_ONCE or (bool(self.outbox) and not self._has_work())

    def _has_work(self) -> bool:
        return bool(self.inbox or self.worker.busy)

    def _refuse_to_hang(self) -> None:
        still = time.monotonic() - self.moved
        patience = max(self.study.config.engines.patience, SLOW_PASSES * self.slowest)
        if self._has_work() and still > patience:
            raise EngineError(f"its device has not moved for {still:.0f} s (engines.patience = {patience:.0f})")

    def _told(self, failure: BaseException) -> TTSError:
        if isinstance(failure, TTSError):
            return failure
        return EngineError(f"engine {self.index} failed: {type(failure).__name__}: {first_line(failure)}")

    def _work(self) -> None:
        """The device thread: forward passes for as long as there is anything to do."""
        try:
            while True:
                with self.changed:
                    begin = time.monotonic()
                    self.changed.wait_for(lambda: self.inbox or self.released or self.worker.busy)
                    self._wait_for_answers()
                    self.worker.load.idle += time.monotonic() - begin
                    self.worker.submit(self.inbox)
                    self.worker.release(self.released)
                    self.inbox, self.released = [], []
                start = time.monotonic()
                outcomes = self.worker.advance() if self.worker.busy else []
                self.moved, self.spent = time.monotonic(), time.process_time()
                self.latest = self.moved - start
                self.slowest = max(self.slowest, self.latest)
                with self.changed:
                    self.outbox += outcomes
                    self.answered &= not outcomes
                    if self._urgent():
                        self.changed.notify_all()
        except BaseException as error:  # the next poll tells it
            with self.changed:
                self.failure = error
                self.changed.notify_all()

    def _wait_for_answers(self) -> None:
        """Let the driver go on with what it was just told, if the batch would not be full without."""
        if not self.answered and getattr(self.worker, "free_rows", 0) > len(self.inbox):
            self.changed.wait_for(lambda: self.answered, timeout=ANSWER_SHARE * self.latest)
            self.answered = True


class Meters:
    """An engine's counters for monitoring (Prometheus, by Ray)."""

    def __init__(self, index: int) -> None:
        tags = {"engine": str(index)}
        self._rows = Counter("tts_rows", "Denoiser rows computed", ("engine",))
        self._batches = Counter("tts_batches", "Forward passes", ("engine",))
        self._busy = Gauge("tts_busy", "Share of the time inside forward passes since the last poll", ("engine",))
        for meter in (self._rows, self._batches, self._busy):
            meter.set_default_tags(tags)
        self._last, self._since = WorkerReport(index).load, time.monotonic()

    def show(self, report: WorkerReport) -> None:
        """Add what was done since the last time."""
        load, now = report.load, time.monotonic()
        for meter, more in (
            (self._rows, load.rows - self._last.rows),
            (self._batches, load.batches - self._last.batches),
        ):
            if more > 0:  # each by itself: a pass may end between two numbers of a report
                meter.inc(more)
        self._busy.set(min(1.0, (load.seconds - self._last.seconds) / max(1e-6, now - self._since)))
        self._last, self._since = load, now
