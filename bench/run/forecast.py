"""What a run will cost, before anything is started: its searches play some problems on an engine that computes nothing.

Each forward, decode and reward is counted as it would be asked for, so that what trials share and what a search decides
on the way is counted, too, not derived from formulas.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice

import pyarrow as pa

from bench.run.driver import Driver
from bench.sinks.registry import SINKS
from bench.store.encoding import encoded
from bench.store.row import TrialRow
from bench.store.schema import TRACE, schema
from bench.study.config import AUTO, RunConfig
from bench.study.entries import Entry
from bench.study.named import named
from bench.study.study import Study
from bench.workers.pool import LocalPool
from tts.errors import SettingError

PLAYED = 10
"""Problems that are played: how much work trials share depends on which candidates win."""


@dataclass(frozen=True)
class PointCost:
    """A point of a search's curve, as means over trials.

    Args:
        search: registered name.
        settings: all of them, canonical JSON.
        trials: how many the run has.
        nfe: denoiser forwards that a trial's row tells of.
        decodes: images decoded.
        reward_calls: rewards computed.
        depth: forwards that must follow one another.
        exact: whether every trial costs the same.
    """

    search: str
    settings: str
    trials: int
    nfe: float
    decodes: float
    reward_calls: float
    depth: int
    exact: bool


@dataclass(frozen=True)
class Forecast:
    """A run's cost.

    Args:
        problems: of the run.
        points: of its curves; none: its shard has no trials.
        computed: denoiser forwards of the whole run, common work counted once.
        shared: whether trials have common work; how much depends on which candidates win, so that the number is an
        estimate.
        decodes, reward_calls: of the whole run, those that rows tell of.
        row_bytes: of the whole run on disk, without images.
        batch: rows of a forward pass; None: measured when the run begins.
    """

    problems: int
    points: tuple[PointCost, ...]
    computed: int
    shared: bool
    decodes: int
    reward_calls: int
    row_bytes: int
    batch: int | None

    @property
    def trials(self) -> int:
        """Of all points."""
        return sum(point.trials for point in self.points)

    @property
    def charged(self) -> float:
        """Denoiser forwards that the run's rows tell of, each trial by itself."""
        return sum(point.trials * point.nfe for point in self.points)

    @property
    def depth(self) -> int:
        """Forwards of the longest chain: no number of engines is faster than these passes after one another."""
        return max((point.depth for point in self.points), default=0)

    @property
    def exact(self) -> bool:
        """Whether the forwards that rows will tell of are known and not estimated."""
        return all(point.exact for point in self.points)

    @property
    def useful_engines(self) -> int | None:
        """Engines with full batches beyond which the longest chain is what a run waits for; None: no batch known."""
        return None if self.batch is None else max(1, self.computed // max(1, self.depth * self.batch))

    def fill(self, engines: int) -> float | None:
        """Largest share of the rows of passes that is no padding, as the longest chain is never shorter; None: no batch
        known, or no passes."""
        if self.batch is None or not self.points:
            return None
        return min(1.0, self.computed / (self.depth * self.batch * engines))

    def full_batch(self, engines: int) -> int:
        """The largest batch that the run fills."""
        return max(1, self.computed // max(1, self.depth * engines))

    def hours(self, rate: float, engines: int = 1) -> float:
        """Time of the run.

        Args:
            rate: denoiser forwards a second of one engine with full batches.
            engines: how many.
        """
        passes = self.depth * (self.batch or 1) / rate
        return max(self.computed / (rate * engines), passes) / 3600


@dataclass
class _Rows:
    """A sink that keeps rows."""

    full: bool = False
    rows: list[TrialRow] = field(default_factory=list)

    def add(self, row: TrialRow) -> None:
        """Keep a row."""
        self.rows.append(row)

    def tick(self) -> None:
        """Nothing waits."""


def forecast(config: RunConfig, played: int = PLAYED) -> Forecast:
    """Count what a run will do.

    Args:
        config: of the run; weights need not be there.
        played: how many problems the searches play.

    Raises:
        TTSError: a setting cannot be used.
    """
    named(SINKS, config.sinks)  # their packages need not be on this machine
    study = Study(_simulated(config))
    batch = None if config.engines.batch == AUTO else int(config.engines.batch)
    if not study.shard_size:  # there are fewer trials than shards: such a run ends at once
        return Forecast(study.problems, (), 0, shared=False, decodes=0, reward_calls=0, row_bytes=0, batch=batch)
    trials_a_problem = study.size // study.problems
    trials = list(islice(study.trials(), min(played, study.problems) * trials_a_problem))
    sink = _Rows()
    with closing(LocalPool(study)) as pool:
        counts = Driver(study, pool, sink, trials=trials).run()
    failed = next((row for row in sink.rows if row.error is not None), None)
    if failed is not None:
        raise SettingError(f"search {failed.search}: a trial fails with made-up rewards: {failed.error}")
    share = study.shard_size / len(trials)
    return Forecast(
        problems=study.problems,
        points=tuple(_points(study, sink.rows, share)),
        computed=round(counts.nfe * share),
        shared=any(row.shared_nfe for row in sink.rows),
        decodes=round(sum(row.decodes or 0 for row in sink.rows) * share),
        reward_calls=round(sum(row.reward_calls or 0 for row in sink.rows) * share),
        row_bytes=round(_bytes(study, sink.rows) * share),
        batch=batch,
    )


def _simulated(config: RunConfig) -> RunConfig:
    """The same run on one engine here that computes nothing."""
    batch = 1 if config.engines.batch == AUTO else config.engines.batch
    changes = {"simulate": 0.0, "backend": "local", "count": 1, "batch": batch, "search_on": "driver"}
    return config.model_copy(update={"engines": config.engines.model_copy(update=changes)})


def _points(study: Study, rows: Sequence[TrialRow], share: float) -> list[PointCost]:
    by_point: dict[tuple[str, str], list[TrialRow]] = defaultdict(list)
    for row in rows:
        by_point[row.search, row.settings].append(row)
    return [_point(study, entry, by_point[entry.name, entry.algorithm.text], share) for entry in study.entries]


def _point(study: Study, entry: Entry, rows: Sequence[TrialRow], share: float) -> PointCost:
    algorithm, number = entry.algorithm, len(rows)
    return PointCost(
        search=entry.name,
        settings=algorithm.text,
        trials=round(number * share),
        nfe=sum(row.nfe or 0 for row in rows) / number,
        decodes=sum(row.decodes or 0 for row in rows) / number,
        reward_calls=sum(row.reward_calls or 0 for row in rows) / number,
        depth=algorithm.depth(study.plan),
        exact=algorithm.played.exact,
    )


def _bytes(study: Study, rows: Sequence[TrialRow]) -> int:
    """Of the rows, and of their traces, as they lie on disk, without images."""
    trials = pa.Table.from_pylist([row.record() for row in rows], schema=schema(study.rewards))
    evaluations = [evaluation for row in rows for evaluation in row.evaluations]
    return _size(trials) + (_size(pa.Table.from_pylist(evaluations, TRACE)) if evaluations else 0)


def _size(table: pa.Table) -> int:
    return len(encoded(table))
