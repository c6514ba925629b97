"""An engine that computes nothing: each forward pass takes a set time, and rewards are drawn by chance from the noises.

It shows what the harness itself costs, and lets a study be planned before GPUs are rented.
"""

from __future__ import annotations

import time
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bench.study.study import Study
from tts.engine.requests import EngineCounters, EvalRequest, EvalResult
from tts.noise import Noise
from tts.search.segment import ALL, State

NO_NOISE = Noise(-1)
QUEUED = 2
"""Passes on the device at once: one at work, one waiting for it."""


@dataclass(slots=True)
class _Row:
    """A job at work: the forwards that it takes, and how many it still needs."""

    job: EvalRequest
    nfe: int
    left: int


class SimulatedEngine:
    """The calls of :class:`tts.engine.batching.Engine`; passes follow one another on an imaginary device.

    Args:
        study: its plan says how many forwards a segment takes, its engines' ``simulate`` how many seconds a pass.
    """

    device = "simulated"
    flops = None
    free_rows = 0  # its passes wait for nobody's answers

    def __init__(self, study: Study) -> None:
        engines = study.config.engines
        assert engines.simulate is not None  # or a real engine would be built
        self.batch, self.seconds = engines.batch, engines.simulate
        self.load = EngineCounters()
        self._salts = {name: zlib.crc32(name.encode()) for name in study.rewards}
        self._states: dict[int, int] = {}
        self._plan = study.plan
        self._queue: deque[_Row] = deque()
        self._passes: deque[tuple[float, list[_Row]]] = deque()
        self._free_at = 0.0

    @property
    def busy(self) -> bool:
        """Whether :meth:`advance` has anything to do."""
        return bool(self._queue or self._passes)

    def submit(self, jobs: Iterable[EvalRequest]) -> None:
        """Queue jobs."""
        for job in jobs:
            segment, start = job.segment, job.segment.start
            nfe = self._plan.spent(start.step if isinstance(start, State) else None, segment.noises)
            nfe += self._plan.nfe_ahead(segment.stop, segment.ahead)
            self._queue.append(_Row(job, nfe, nfe))

    def release(self, keys: Iterable[int]) -> None:
        """Forget states."""
        for key in keys:
            self._states.pop(key, None)

    def report(self) -> dict[str, int]:
        """No job waits for its scores."""
        return {"scoring": 0}

    def advance(self) -> list[EvalResult]:
        """Put passes on the device, and wait for the oldest if nothing is done yet."""
        done = list(self._ended())
        self._launch(done)
        if not done and self._passes:
            if (left := self._passes[0][0] - time.monotonic()) > 0:
                time.sleep(left)
            done += self._ended()
            self._launch(done)
        return done

    def close(self) -> None:
        """Nothing to end."""

    def _launch(self, done: list[EvalResult]) -> None:
        """Fill the device's queue; a pass that is not full only if the device would be idle."""
        while self._queue and len(self._passes) < QUEUED:
            if self._passes and len(self._queue) < self.batch:
                return
            rows = list(self._rows(done))
            if rows:
                start = max(time.monotonic(), self._free_at)
                self._free_at = start + self.seconds
                self._passes.append((self._free_at, rows))
                self.load.batches += 1
                self.load.rows += len(rows)
                self.load.seconds += self.seconds

    def _rows(self, done: list[EvalResult]) -> Iterator[_Row]:
        """The next rows for a pass; those that need no forward are done at once."""
        taken = 0
        while self._queue and taken < self.batch:
            row = self._queue.popleft()
            if row.left:
                taken += 1
                yield row
            else:
                done.append(self._finished(row))

    def _ended(self) -> Iterator[EvalResult]:
        """Outcomes of the passes that have ended by now."""
        while self._passes and self._passes[0][0] <= time.monotonic():
            _, rows = self._passes.popleft()
            share = self.seconds / len(rows)
            again = []
            for row in rows:
                row.left -= 1
                if row.left:
                    again.append(row)
                else:
                    yield self._finished(row, share)
            self._queue.extendleft(reversed(again))

    def _finished(self, row: _Row, share: float = 0.0) -> EvalResult:
        """A job's outcome; each of its passes is charged like the last one."""
        ticket, segment = row.job.ticket, row.job.segment
        outcome, start, noises = EvalResult(ticket, nfe=row.nfe, seconds=row.nfe * share), segment.start, segment.noises
        if None in noises:  # its hash is another in each process
            noises = tuple(noise or NO_NOISE for noise in noises)
        at = self._states[start.key] if isinstance(start, State) else hash(start)
        state = hash((at, noises)) if noises else at
        self._states[ticket] = state
        if wants := row.job.wants:
            names = self._salts if ALL in wants else wants
            seen = hash((state, segment.ahead)) if segment.ahead else state
            outcome.scores = {name: _draw(seen, self._salts[name]) for name in names}
            outcome.decodes, outcome.reward_calls = 1, len(names)
        return outcome


def _draw(state: int, salt: int) -> float:
    """A number in [0, 1), the same for the same noises in every process: hashes of numbers are not salted."""
    return (((state ^ salt) * 0x9E3779B97F4A7C15) >> 11 & 0xFFFFFFFF) / 2**32
