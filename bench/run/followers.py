"""The sinks of a run that begins: what they are told of its rows and of its progress."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bench.run.driver import RunProgress, Sink
from bench.sinks.base import RunFacts, SinkSettings
from bench.sinks.registry import SINKS
from bench.sinks.tally import COLUMNS, Tally
from bench.sinks.tracking import Tracking
from bench.store import reader as store
from bench.store.row import TrialRow
from bench.store.storage import LocalStorage, Storage
from bench.study.config import RunConfig
from bench.study.labels import curve_labels
from bench.study.named import named
from bench.study.study import Study


def check_sinks(config: RunConfig) -> dict[str, SinkSettings]:
    """The sinks of a configuration, by name.

    Raises:
        SettingError: a name, a key or a value cannot be used, or a package is not installed.
    """
    found = named(SINKS, config.sinks)
    for settings in found.values():
        settings.check()
    return found


class Followers:
    """Tells a run's sinks what happens.

    Args:
        study: the run.
        where: its files; rows that are there already are counted first.
        warn: takes a line.
    """

    def __init__(self, study: Study, where: Storage, warn: Callable[[str], None]) -> None:
        sinks = check_sinks(study.config)
        tally = Tally(curve_labels((entry.name, entry.algorithm.text, entry.budget) for entry in study.entries))
        for row in _stored(where) if sinks else ():
            tally.add(row)
        self._tracking = Tracking(sinks, _facts(study, where), tally, warn)
        self._start = time.monotonic()

    def failures(self) -> dict[str, str]:
        """Sinks that did not take all that they were given, and why not."""
        return self._tracking.failures

    def beside(self, store: Sink) -> Sink:
        """A sink that stores rows and counts them here."""
        return _Beside(store, self._tracking)

    def after(self, tell: Callable[[RunProgress], None]) -> Callable[[RunProgress], None]:
        """A function that passes progress on, and then takes it here."""

        def both(counts: RunProgress) -> None:
            tell(counts)
            self._tracking.tell(counts.done, lambda: self._numbers(counts))

        return both

    @contextmanager
    def told(self, counts: RunProgress) -> Iterator[None]:
        """Tell the sinks how the run ends."""
        state = "stopped"
        try:
            yield
            state = "done"
        finally:
            self._tracking.end(counts.done, self._numbers(counts), state)

    def _numbers(self, counts: RunProgress) -> dict[str, float]:
        seconds = max(1e-9, time.monotonic() - self._start)
        there = [status for status in counts.engines if status.device is not None]
        busy = sum(min(1.0, status.total.seconds / seconds) for status in there)
        return {
            "progress/done": float(counts.done),
            "progress/failed": float(counts.failed),
            "progress/trials": float(counts.trials),
            "progress/seconds": seconds,
            "progress/nfe_per_second": counts.nfe / seconds,
            "engines/there": float(len(there)),
            "engines/busy": busy / max(1, len(there)),
        }


def _stored(where: Storage) -> Iterator[dict[str, Any]]:
    """The counted columns of the stored rows, each trial once, the first one; at any time a batch of them is held."""
    seen = set[bytes]()
    for batch in store.batches(where, COLUMNS):
        for row in batch.to_pylist():
            key = row["trial"].encode()  # smaller than a text
            if key not in seen:
                seen.add(key)
                yield row


class _Beside:
    """The store's sink, which counts every row that it is given."""

    def __init__(self, store: Sink, tracking: Tracking) -> None:
        self._store, self._tracking = store, tracking

    @property
    def full(self) -> bool:
        """Whether the store's rows must go first."""
        return self._store.full

    def add(self, row: TrialRow) -> None:
        """Keep a row, and count it."""
        self._store.add(row)
        self._tracking.add(row)

    def tick(self) -> None:
        """Let the store raise its errors."""
        self._store.tick()


def _facts(study: Study, where: Storage) -> RunFacts:
    place = str(where.folder.absolute()) if isinstance(where, LocalStorage) else str(where)
    shard = study.config.shard or ""
    identity = hashlib.blake2b(f"{study.digest()} {place} {shard}".encode(), digest_size=16).hexdigest()
    name = place.rstrip("/").rpartition("/")[2]
    return RunFacts(
        name=f"{name} {shard}".strip(),
        identity=identity,
        output=str(where),
        folder=str(where.folder) if isinstance(where, LocalStorage) else None,
        config=study.config.model_dump(mode="json"),
    )
