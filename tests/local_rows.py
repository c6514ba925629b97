"""All rows of a study on a pool, without their times."""

from __future__ import annotations

import random
from typing import Any

from bench.run.driver import Driver
from bench.store.row import TrialRow
from bench.store.schema import TIMED
from bench.study.config import RunConfig
from bench.study.study import Study
from bench.workers.backends import make_pool
from bench.workers.pool import Pool


class Rows:
    """A sink that keeps rows by identity, and refuses a second row of a trial."""

    full = False

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}

    def add(self, row: TrialRow) -> None:
        """Keep a row, without its times."""
        assert row.trial not in self.rows
        self.rows[row.trial] = {name: value for name, value in row.record().items() if name not in TIMED}

    def tick(self) -> None:
        """Do nothing: no row waits."""


def rows_of(
    study: Study, pool: Pool, shuffle: int | None = None, rows: Rows | None = None
) -> dict[str, dict[str, Any]]:
    """Run a study on a pool into a sink, then close the pool; ``shuffle`` is a seed for the order of trials."""
    sink, trials = rows or Rows(), list(study.trials())
    if shuffle is not None:
        random.Random(shuffle).shuffle(trials)
    try:
        Driver(study, pool, sink, trials=iter(trials)).run()
    finally:
        pool.close()
    return sink.rows


def values(config: RunConfig) -> list[tuple[str, float]]:
    """Identity and value of every trial of a study, sorted."""
    study = Study(config)
    return sorted((key, row["value"]) for key, row in rows_of(study, make_pool(study)).items())
