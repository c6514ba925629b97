"""An engine that computes nothing: each forward pass takes a set time, and rewards are drawn by chance from the noises.

It shows what the harness itself costs, and lets a study be planned before GPUs are rented.
"""

from __future__ import annotations

import time
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from bench.study import Study
from tts.jobs import Job, Load, Outcome
from tts.search.segment import ALL, State

QUEUED = 2
"""Passes on the device at once: one at work, one waiting for it."""


@dataclass
class _Row:
    """A job at work: forwards that it still needs."""

    job: Job
    left: int
    outcome: Outcome


class SimulatedEngine:
    """The calls of :class:`tts.engine.Engine`; passes follow one another on an imaginary device.

    Args:
        study: its plan says how many forwards a segment takes, its engines' ``simulate`` how many seconds a pass.
    """

    device = "simulated"

    def __init__(self, study: Study) -> None:
        engines = study.config.engines
        assert engines.simulate is not None  # or a real engine would be built
        self.plan, self.batch, self.seconds = study.plan, engines.batch, engines.simulate
        self.load = Load()
        self._salts = {name: zlib.crc32(name.encode()) for name in study.rewards}
        self._states: dict[int, int] = {}
        self._queue: deque[_Row] = deque()
        self._passes: deque[tuple[float, list[_Row]]] = deque()
        self._free_at = 0.0

    @property
    def busy(self) -> bool:
        """Whether :meth:`advance` has anything to do."""
        return bool(self._queue or self._passes)

    def submit(self, jobs: Iterable[Job]) -> None:
        """Queue jobs."""
        for job in jobs:
            segment = job.segment
            first = segment.first if isinstance(segment.start, State) else None
            self._queue.append(_Row(job, self.plan.nfe(first, segment.stop), Outcome(job.ticket)))

    def release(self, keys: Iterable[int]) -> None:
        """Forget states."""
        for key in keys:
            self._states.pop(key, None)

    def advance(self) -> list[Outcome]:
        """Put passes on the device, and wait for the oldest if nothing is done yet."""
        done = list(self._ended())
        self._launch(done)
        if not done and self._passes:
            time.sleep(max(0.0, self._passes[0][0] - time.monotonic()))
            done += self._ended()
            self._launch(done)
        return done

    def close(self) -> None:
        """Nothing to end."""

    def _launch(self, done: list[Outcome]) -> None:
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

    def _rows(self, done: list[Outcome]) -> Iterator[_Row]:
        """The next rows for a pass; those that need no forward are done at once."""
        taken = 0
        while self._queue and taken < self.batch:
            row = self._queue.popleft()
            if row.left:
                taken += 1
                yield row
            else:
                done.append(self._finished(row))

    def _ended(self) -> Iterator[Outcome]:
        """Outcomes of the passes that have ended by now."""
        while self._passes and self._passes[0][0] <= time.monotonic():
            _, rows = self._passes.popleft()
            share = self.seconds / len(rows)
            again: Sequence[_Row] = [row for row in rows if row.left > 1]
            for row in rows:
                row.left -= 1
                row.outcome.nfe += 1
                row.outcome.seconds += share
                if not row.left:
                    yield self._finished(row)
            self._queue.extendleft(reversed(again))

    def _finished(self, row: _Row) -> Outcome:
        outcome, segment = row.outcome, row.job.segment
        start = segment.start
        noises = (0 if noise is None else noise for noise in segment.noises)  # None's hash is another in each process
        state = hash((self._states[start.key] if isinstance(start, State) else start, *noises))
        self._states[row.job.ticket] = state
        if segment.reward is not None:
            names = list(self._salts) if segment.reward == ALL else [segment.reward]
            scores: dict[str, float | None] = {name: _draw(state, self._salts[name]) for name in names}
            outcome.decodes, outcome.reward_calls = 1, len(names)
            outcome.scores = scores if segment.reward == ALL else None
            outcome.reward = None if segment.reward == ALL else scores[segment.reward]
        return outcome


def _draw(state: int, salt: int) -> float:
    """A number in [0, 1), the same for the same noises in every process: hashes of numbers are not salted."""
    return (((state ^ salt) * 0x9E3779B97F4A7C15) >> 11 & 0xFFFFFFFF) / 2**32
