"""The driver's side of searches that run beside their engines: it knows which host has which trial and needs more."""

from __future__ import annotations

import math
import time
from collections.abc import Collection

from bench.store.row import TrialRow
from bench.study.study import Study
from bench.study.trial import Trial
from bench.workers.active_trial import Lost
from bench.workers.pool import Pool, WorkerReport


class TrialDispatcher:
    """Hands out trials to hosts; the calls are those of :class:`bench.workers.search_runner.SearchRunner`."""

    def __init__(self, study: Study, pool: Pool) -> None:
        self.pool, self.nfe = pool, 0
        self.shares = False  # a host decides itself which trials it begins together
        self.ended = 0  # trials end beside their engines only
        self._given: list[dict[str, Trial]] = [{} for _ in range(pool.engines)]
        self._new: list[list[Trial]] = [[] for _ in range(pool.engines)]
        self._wants: list[int | None] = [None] * pool.engines
        self._given_to_all = 0
        self._since: dict[int, float] = {}
        self._speeds: dict[int, float] = {}
        self._speed_of_all = 0.0
        self._asking = set(range(pool.engines))
        self._turn: int | None = None
        engines, plan = study.config.engines, study.plan
        widths = [entry.algorithm.nfe(plan) / entry.algorithm.depth(plan) for entry in study.entries]
        self._first = math.ceil(engines.oversupply * engines.batch / min(widths))

    def next_starved(self, among: Collection[int], left: int) -> int | None:
        """The host that needs trials most, if one does and may have more."""
        turn = self._turn
        if turn in self._asking and turn in among and self._may_have_more(turn, left, len(among)):
            return turn  # until it has all that it may: with hundreds of hosts, a look at all of them is dear
        asking = self._asking.intersection(among)
        eligible = [engine for engine in asking if self._may_have_more(engine, left, len(among))]
        self._turn = max(eligible, key=self._wanted, default=None)
        return self._turn

    def _may_have_more(self, engine: int, left: int, hosts: int) -> bool:
        """Whether a host has less than its share, by its speed, of all that is not finished.

        While much is left it gets half its share, as a host keeps the trials that it has; later, what keeps it busy.
        """
        known = engine in self._speeds and len(self._speeds) >= hosts and self._speed_of_all > 0
        share = self._speeds[engine] / self._speed_of_all if known else 1 / hosts
        fair, has = share * (left + self._given_to_all), len(self._given[engine])
        return has < max(fair / 2, min(self._first, math.ceil(fair)))

    def _measure(self, engine: int, rows: int) -> None:
        """Note a host's speed since it started, in rows a second."""
        since = self._since.setdefault(engine, time.monotonic())
        seconds = time.monotonic() - since
        if rows and seconds > 0:
            self._speed_of_all += rows / seconds - self._speeds.get(engine, 0.0)
            self._speeds[engine] = rows / seconds

    def _ask(self, engine: int) -> None:
        """Note whether a host needs trials."""
        (self._asking.add if self._wanted(engine) > 0 else self._asking.discard)(engine)

    def _wanted(self, engine: int) -> int:
        """Trials that a host asked for and has not got; before its first report, as many as the narrowest search
        needs."""
        wants = self._wants[engine]
        return self._first - len(self._given[engine]) if wants is None else wants

    def restrict_to(self, engines: Collection[int]) -> None:
        """Do nothing: a host's trials stay with it."""

    def trials_on(self, engine: int) -> list[Trial]:
        """The trials that a host has."""
        return list(self._given[engine].values())

    def start(self, trial: Trial, engine: int) -> None:
        """Give a trial to a host."""
        self._given[engine][trial.key] = trial
        self._given_to_all += 1
        self._since.setdefault(engine, time.monotonic())
        self._new[engine].append(trial)
        wants = self._wants[engine]
        self._wants[engine] = None if wants is None else wants - 1
        self._ask(engine)

    def dispatch(self, left: int = 0) -> None:
        """Send every host its new trials, whatever else is left."""
        for engine, trials in enumerate(self._new):
            if trials:
                self.pool.submit(engine, list(trials), ())
                trials.clear()

    def update(self, report: WorkerReport) -> list[TrialRow]:
        """Take over what a host has finished."""
        given = self._given[report.engine]
        self._measure(report.engine, report.load.rows)
        if report.wants is not None:
            self._wants[report.engine] = report.wants
            self._ask(report.engine)
        self.nfe += report.nfe
        ended = [row for row in report.outcomes if given.pop(row.trial, None) is not None]
        self._given_to_all -= len(ended)
        return ended

    def lose(self, engine: int) -> Lost:
        """Give up a host and its trials; which of them it had begun nobody knows."""
        lost, self._given[engine], self._new[engine] = list(self._given[engine].values()), {}, []
        self._wants[engine] = None
        self._given_to_all -= len(lost)
        self._since.pop(engine, None)
        self._speed_of_all -= self._speeds.pop(engine, 0.0)
        self._ask(engine)
        return Lost(lost, [])
