"""A run's progress, for any terminal: a small file beside its results, written anew every few seconds."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.run.driver import EngineStatus, RunProgress
from bench.store.checks import StatusForm, parsed
from bench.store.storage import LocalStorage, Output, Storage, place
from bench.study.study import Study
from tts.errors import DataError

EVERY_SECONDS, EVERY_SECONDS_REMOTE = 2.0, 15.0
SILENT_SECONDS = 60.0
"""Seconds after which a silent run counts as killed, or its machine as lost."""


class Reporter:
    """Shows a run's progress, tells of engines that come and go, and keeps the file that :func:`show` reads.

    Args:
        study: the run.
        where: its files.
        show: moves the progress bar.
        warn: takes a line.
        sinks: tells which sinks fail, and why.
    """

    def __init__(
        self,
        study: Study,
        where: Storage,
        show: Callable[[RunProgress], None],
        warn: Callable[[str], None],
        sinks: Callable[[], dict[str, str]] = dict,
    ) -> None:
        self._place, self._show, self._warn, self._sinks = where, show, warn, sinks
        shard, number = study.config.part
        self._shard = study.config.shard
        self._name = "status.json" if number == 1 else f"status-{shard}of{number}.json"
        self._every = EVERY_SECONDS if isinstance(self._place, LocalStorage) else EVERY_SECONDS_REMOTE
        self._start = self._written = time.monotonic()
        self._seen: list[tuple[str | None, int]] = []
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="status")
        self._putting: Future[None] = self._thread.submit(lambda: None)

    def tell(self, counts: RunProgress) -> None:
        """Take the run's progress."""
        self._show(counts)
        for engine, status in enumerate(counts.engines):
            known = self._seen[engine][1] if self._seen else 0
            if status.losses > known:
                self._warn(f"engine {engine} is lost: {status.loss}; its trials are run again")
        now, seen = time.monotonic(), [(status.device, status.losses) for status in counts.engines]
        if now - self._written >= self._every or seen != self._seen:
            self._write(counts, "running", now)
        self._seen = seen

    @contextmanager
    def reporting(self, counts: RunProgress) -> Iterator[None]:
        """Record how the run ended."""
        try:
            yield
        except BaseException:
            self._write(counts, "stopped", time.monotonic())
            raise
        else:
            self._write(counts, "done", time.monotonic())
        finally:
            self._thread.shutdown()

    def _write(self, counts: RunProgress, state: str, now: float) -> None:
        seconds = max(1e-9, now - self._start)
        # what lost engines had done is counted in nfe, and done again
        left = max(0, counts.planned - counts.nfe) * seconds / counts.nfe if counts.nfe else None
        content = {
            "state": state,
            "shard": self._shard,
            "updated": time.time(),
            "host": os.uname().nodename,
            "pid": os.getpid(),
            "done": counts.done,
            "failed": counts.failed,
            "trials": counts.trials,
            "nfe_per_second": counts.nfe / seconds,
            "seconds": seconds,
            "seconds_left": 0.0 if state == "done" else left,
            "last_error": counts.error,
            **({"sinks": sinks} if (sinks := self._sinks()) else {}),
            "engines": [self._engine(engine, status, now) for engine, status in enumerate(counts.engines)],
        }
        self._written, data = now, json.dumps(content).encode()
        if self._putting.done() or state != "running":  # a disk or an object store may take its time
            self._putting = self._thread.submit(self._put, data)

    def _put(self, data: bytes) -> None:
        with suppress(OSError):  # the writer reports it; a status file is not worth a run
            self._place.write(self._name, data)

    def _engine(self, engine: int, status: EngineStatus, now: float) -> dict[str, Any]:
        seconds = max(1e-9, now - self._start)
        return {
            "engine": engine,
            "device": status.device,
            "host": status.where,
            "rows_per_second": status.total.rows / seconds,
            "busy": min(1.0, status.total.seconds / seconds),
            "waiting": min(1.0, status.total.awaiting / seconds),
            "losses": status.losses,
        }


def read(output: Output) -> list[dict[str, Any]]:
    """The last status of a run, or of each of its shards by number.

    Raises:
        DataError: nothing, or nothing that can be read.
    """
    where = place(output)
    try:
        names = [name for name in where.names() if name.startswith("status") and name.endswith(".json")]
        found = [parsed(where.read(name) or b"null", StatusForm) for name in names]
    except (OSError, ValueError) as error:
        raise DataError(f"{where}: its status cannot be read ({' '.join(str(error).split())})") from None
    if not found:
        raise DataError(f"{where}: no run has begun there")
    return sorted(found, key=lambda status: [int(number) for number in (status["shard"] or "0/1").split("/")])


def awaited(output: Output) -> float | None:
    """Share of the engines' time, since the run's last start, in which they only awaited rewards; None: not known."""
    try:
        engines = [engine for status in read(output) for engine in status["engines"]]
    except DataError:
        return None
    shares = [engine["waiting"] for engine in engines if "waiting" in engine]
    return sum(shares) / len(shares) if shares else None


def show(output: Output, console: Console) -> None:
    """Print how a run is getting on."""
    where = place(output)
    for status in read(where):
        name = f"{where}" + (f" (shard {status['shard']})" if status["shard"] else "")
        console.print(f"{name}: {_line(status)}", markup=False, highlight=False, soft_wrap=True)
        if status["last_error"]:
            console.print(f"last error: {status['last_error']}", style="yellow", markup=False, soft_wrap=True)
        for sink, reason in status.get("sinks", {}).items():
            console.print(f"sink {sink}: {reason}", style="yellow", markup=False, soft_wrap=True)
        console.print(_table(status["engines"]))


def follow(output: Output, console: Console) -> None:
    """:func:`show` again and again, until no shard is running."""
    where = place(output)
    while True:
        show(where, console)
        if all(status["state"] != "running" for status in read(where)):
            return
        time.sleep(EVERY_SECONDS)


def _line(status: dict[str, Any]) -> str:
    age = time.time() - status["updated"]
    state = status["state"]
    if state == "running" and age > SILENT_SECONDS:
        state = f"not heard of for {timedelta(seconds=round(age))} (killed? the same command resumes it)"
    left = status["seconds_left"]
    words = [
        state,
        f"{status['done']:,} of {status['trials']:,} trials done",
        *([f"{status['failed']:,} of them failed"] if status["failed"] else []),
        f"{status['nfe_per_second']:,.0f} NFE/s",
        *([f"{timedelta(seconds=round(left))} left"] if left is not None and state == "running" else []),
    ]
    return ", ".join(words)


def _table(engines: list[dict[str, Any]]) -> Table:
    table = Table("engine", "device", "machine", "rows/s", "busy", "awaits rewards", "lost")
    for engine in engines:
        table.add_row(
            str(engine["engine"]),
            Text(engine["device"] or "away"),
            Text(engine["host"]),
            f"{engine['rows_per_second']:,.1f}",
            f"{100 * engine['busy']:.0f} %",
            f"{100 * engine['waiting']:.0f} %" if "waiting" in engine else "?",
            str(engine["losses"]),
        )
    return table
