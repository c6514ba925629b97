"""A trial at work, and its result."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from bench.study.trial import Trial
from bench.workers.trace import Trace
from tts.search.base import Problem, Run
from tts.search.rules import Meter, begin
from tts.search.segment import Evaluation, Segment


class Lost(NamedTuple):
    """The trials that an engine took with it: those with work there at that moment, and those with states only."""

    at_work: list[Trial]
    others: list[Trial]


@dataclass
class Costs:
    """What a trial has cost so far: all that it would have spent alone, though some of it was done once for several."""

    nfe: int = 0
    shared_nfe: int = 0
    decodes: int = 0
    reward_calls: int = 0
    device_seconds: float = 0.0


@dataclass(eq=False)
class ActiveTrial:
    """A trial at work: its search, the segments it waits for, their results so far, the engines it has used.

    ``pinned``: the only engine it may use; ``rank``: how many problems began before its own; ``left``, ``work``: steps
    that it still needs by its search's own figures, one after another and in all; ``over``: its outcomes are dropped.
    """

    trial: Trial
    problem: Problem
    pinned: int | None = None
    rank: int = 0
    left: int = 0
    work: float = 0.0
    trace: Trace | None = None
    since: float = field(default_factory=time.monotonic)
    costs: Costs = field(default_factory=Costs)
    asked: list[Segment] = field(default_factory=list)
    answers: list[Evaluation | None] = field(default_factory=list)
    missing: int = 0
    samples: list[float | None] | None = None
    winner: Evaluation | None = None
    engines: set[int] = field(default_factory=set)
    over: bool = False
    _search: Run | None = None
    _path: int = 0

    @cached_property
    def meter(self) -> Meter:
        """Holds its search to the forwards that it named."""
        return Meter(self.trial.algorithm, self.problem.plan)

    @cached_property
    def _depth(self) -> int:
        return self.trial.algorithm.depth(self.problem.plan)

    @cached_property
    def _step(self) -> float:
        """Forwards of a step."""
        plan = self.problem.plan
        return max(1, plan.nfe()) / plan.steps

    def spend(self, answers: list[Evaluation]) -> None:
        """Count the forwards of a list.

        Raises:
            SearchError: they are too many.
        """
        self.meter.add(sum(answer.nfe for answer in answers))
        self._path += max((answer.nfe for answer in answers), default=0)

    def measure(self) -> None:
        """See how far it still has to go."""
        self.left = max(0, int((self._depth - self._path) / self._step))
        self.work = (self.meter.limit - self.meter.spent) / self._step

    @property
    def share(self) -> float:
        """Steps that it still needs, for each of the segments that it asked for together."""
        return self.work / max(1, len(self.asked))

    def send(self, answers: list[Evaluation] | None) -> object:
        """Let its search go on, from its beginning where there are no answers yet; what it yields is not checked.

        Raises:
            StopIteration: it has ended.
            SearchError: it is no search.
        """
        if self._search is None:
            self._search = begin(self.trial.algorithm, self.problem)
            return next(self._search)
        return self._search.send(answers or [])

    def close(self) -> None:
        """End its search, whatever error the search raises then."""
        self.over = True
        self.answers.clear()
        self.asked.clear()
        if self._search is None:
            return
        try:
            self._search.close()
        except KeyboardInterrupt:
            raise
        except BaseException:  # it may refuse to be closed, or fail at it
            return
