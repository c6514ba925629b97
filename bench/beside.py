"""The driver's side of searches that run beside their engines: who has which trial, and who needs more."""

from __future__ import annotations

import math
from collections.abc import Collection

from bench.pools import Pool, Replies
from bench.searches import Lost, Result, Task
from bench.study import Study


class Beside:
    """Hands out trials to hosts; the calls are those of :class:`bench.searches.Searches`."""

    def __init__(self, study: Study, pool: Pool) -> None:
        self.pool, self.nfe = pool, 0
        self._given: list[dict[str, Task]] = [{} for _ in range(pool.engines)]
        self._new: list[list[Task]] = [[] for _ in range(pool.engines)]
        self._wants: list[int | None] = [None] * pool.engines
        self._rows = [0] * pool.engines
        self._asking = set(range(pool.engines))
        self._turn: int | None = None
        engines, plan = study.config.engines, study.plan
        widths = [entry.algorithm.nfe(plan) / entry.algorithm.depth(plan) for entry in study.entries]
        self._first = math.ceil(engines.oversupply * engines.batch / min(widths))

    def hungry(self, among: Collection[int], left: int) -> int | None:
        """The host that needs trials most, if one does; none gets more than its share of those that are left."""
        far = left >= len(among) * self._first
        if far and self._turn in self._asking and self._turn in among:
            return self._turn  # until it has all that it asked for: with hundreds of hosts, a look at all is dear
        asking = self._asking.intersection(among)
        if not far:
            asking = {engine for engine in asking if self._given_less(engine, among, left)}
        self._turn = max(asking, key=self._wanted, default=None)
        return self._turn

    def _given_less(self, engine: int, among: Collection[int], left: int) -> bool:
        """Whether a host has less than its share, by its speed, of all that is not finished."""
        speeds = [self._rows[other] for other in among]
        share = self._rows[engine] / sum(speeds) if all(speeds) else 1 / len(among)
        unfinished = left + sum(len(self._given[other]) for other in among)
        return len(self._given[engine]) < math.ceil(share * unfinished)

    def _ask(self, engine: int) -> None:
        """Take note of whether a host needs trials."""
        (self._asking.add if self._wanted(engine) > 0 else self._asking.discard)(engine)

    def _wanted(self, engine: int) -> int:
        """What a host asked for and has not got; before it has spoken, as much as the narrowest search would need."""
        wants = self._wants[engine]
        return self._first - len(self._given[engine]) if wants is None else wants

    def use(self, engines: Collection[int]) -> None:
        """Nothing: a host's trials stay with it."""

    def users(self, engine: int) -> list[Task]:
        """The trials that a host has."""
        return list(self._given[engine].values())

    def start(self, task: Task, engine: int) -> None:
        """Give a trial to a host."""
        self._given[engine][task.key] = task
        self._new[engine].append(task)
        wants = self._wants[engine]
        self._wants[engine] = None if wants is None else wants - 1
        self._ask(engine)

    def dispatch(self) -> None:
        """Send every host its new trials."""
        for engine, tasks in enumerate(self._new):
            if tasks:
                self.pool.submit(engine, list(tasks), ())
                tasks.clear()

    def update(self, replies: Replies) -> list[Result]:
        """Take over what a host has finished."""
        given = self._given[replies.engine]
        self._rows[replies.engine] = replies.load.rows
        if replies.wants is not None:
            self._wants[replies.engine] = replies.wants
            self._ask(replies.engine)
        self.nfe += replies.nfe
        return [result for result in replies.outcomes if given.pop(result.key, None) is not None]

    def lose(self, engine: int) -> Lost:
        """Give up a host and its trials; which of them it had begun nobody knows."""
        lost, self._given[engine], self._new[engine] = list(self._given[engine].values()), {}, []
        self._wants[engine] = None
        self._ask(engine)
        return Lost(lost, [])
