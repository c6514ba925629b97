"""Searches beside their engine: takes trials as an engine takes jobs, and gives rows back."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterable

from bench.pools import LocalPool, Worker
from bench.searches import Result, Searches, Task
from bench.study import Study
from tts.engine import Load

AHEAD_SECONDS = 4.0
"""Trials are kept ready for this long: two polls of the driver."""


class Host:
    """An engine with the searches of its own trials; the calls are those of :class:`tts.engine.Engine`.

    Args:
        study: what the trials belong to.
        engine: evaluates their segments.
    """

    def __init__(self, study: Study, engine: Worker) -> None:
        self.engine, self.searches = engine, Searches(study, LocalPool(study, engine))
        self._engines = study.config.engines
        self._waiting: deque[Task] = deque()
        self._rate = 0.0
        self._ended, self._since = 0, time.monotonic()

    @property
    def device(self) -> str:
        """The engine's device."""
        return self.engine.device

    @property
    def load(self) -> Load:
        """The engine's work so far."""
        return self.engine.load

    @property
    def busy(self) -> bool:
        """Whether :meth:`advance` has anything to do."""
        return bool(self._waiting or self.searches.open or self.engine.busy)

    def report(self) -> dict[str, int]:
        """Trials that it needs and forwards spent, for :class:`bench.pools.Replies`."""
        nfe, self.searches.nfe = self.searches.nfe, 0
        return {"wants": self._wants(), "nfe": nfe}

    def _wants(self) -> int:
        """How many more trials it needs to stay over-supplied for a while; below zero, if it has more than that."""
        under_way = len(self.searches.open)
        width = self.searches.in_flight[0] / under_way if under_way else float(self._engines.batch)
        open_at_once = self._engines.oversupply * self._engines.batch / max(width, 1.0)
        return math.ceil(open_at_once + AHEAD_SECONDS * self._rate) - under_way - len(self._waiting)

    def submit(self, tasks: Iterable[Task]) -> None:
        """Queue trials."""
        self._waiting.extend(tasks)

    def release(self, keys: Iterable[str]) -> None:
        """Nothing: the states of a host's trials are its own affair."""

    def advance(self) -> list[Result]:
        """Open trials until the engine has enough to do, and go on until an outcome is there."""
        while self._waiting and self.searches.hungry((0,)) is not None:
            self.searches.start(self._waiting.popleft())
        self.searches.dispatch()
        results = [result for replies in self.searches.pool.wait() for result in self.searches.update(replies)]
        self._measure(len(results))
        return results

    def close(self) -> None:
        """End the engine's threads."""
        self.engine.close()

    def _measure(self, ended: int) -> None:
        """Trials a second, over the last few seconds."""
        self._ended += ended
        seconds = time.monotonic() - self._since
        if seconds >= AHEAD_SECONDS:
            self._rate, self._ended, self._since = self._ended / seconds, 0, time.monotonic()
