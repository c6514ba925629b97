"""Drivers in processes of their own, which tests watch and kill."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow.parquet as pq
import yaml

from bench.store.schema import TIMED
from bench.study.config import RunConfig

PATIENCE = 120.0  # seconds for a driver to store something, on a busy machine

PRELOADED = ["torch", "bench.commands.run", "bench.report.plots", "bench.run.start", "bench.workers.pool"]
"""Modules that take seconds to import: driver processes are forked from a process that has imported them."""


def prepare() -> None:
    """Begin to import :data:`PRELOADED`, so that the first process need not wait for it."""
    multiprocessing.get_context("forkserver").set_forkserver_preload(PRELOADED)
    forkserver.ensure_running()


def forked(target: Callable[..., None], *arguments: object) -> BaseProcess:
    """A process that calls a function, with this one's environment and with :data:`PRELOADED`."""
    prepare()
    context = multiprocessing.get_context("forkserver")
    process: BaseProcess = context.Process(target=target, args=(dict(os.environ), *arguments), daemon=True)
    process.start()
    return process


def said_by(function: str, *arguments: object) -> str:
    """What a function, ``module:name``, prints in a process of its own."""
    with TemporaryDirectory() as folder:
        process = forked(_say, function, arguments, str(Path(folder) / "said"))
        process.join()
        assert process.exitcode == 0
        return (Path(folder) / "said").read_text()


def _say(environment: dict[str, str], function: str, arguments: tuple[object, ...], path: str) -> None:
    os.environ.clear()
    os.environ.update(environment)
    with Path(path).open("w") as file, redirect_stdout(file):
        _named(function)(*arguments)


def _named(function: str) -> Callable[..., None]:
    module, _, name = function.partition(":")
    found: Callable[..., None] = getattr(importlib.import_module(module), name)
    return found


class DriverProcess:
    """``tts-bench run`` of a file, as a process; with what a test needs of ``subprocess.Popen``.

    Args:
        config: the file.
        flags: further words of the command.
        said: where a file with its output and one with its errors are to be, ``out`` and ``err``; None: nowhere.
        before: what it is to call first, ``module:name``.
    """

    def __init__(self, config: Path, *flags: str, said: Path | None = None, before: str | None = None) -> None:
        self._process = forked(_run, [str(config), *flags], said, before)

    @property
    def pid(self) -> int:
        """Identifier of the process."""
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """The process's exit code; None while it runs."""
        return self._process.exitcode

    def wait(self) -> int:
        """Wait for the process, and return its exit code."""
        self._process.join()
        code = self.poll()
        assert code is not None
        return code

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal if the process still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)


def _run(environment: dict[str, str], words: list[str], said: Path | None, before: str | None) -> None:
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["tts-bench", "run", *words]
    paths = [Path(os.devnull)] * 2 if said is None else [said / "out", said / "err"]
    with paths[0].open("w", buffering=1) as sys.stdout, paths[1].open("w", buffering=1) as sys.stderr:
        if before is not None:
            _named(before)()
        from bench.commands.app import main

        main()


def kill_after_progress(driver: DriverProcess, folder: Path, moment: float) -> bool:
    """SIGKILL a driver ``moment`` seconds after it has stored a new part; False if it was done before."""
    parts, deadline = count_parts(folder), time.monotonic() + PATIENCE
    while count_parts(folder) == parts and driver.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(moment)
    alive = driver.poll() is None
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    return alive


def count_parts(folder: Path) -> int:
    """Finished parts of a run."""
    return len(list((folder / "trials").glob("part-*.parquet")))


def table(folder: Path) -> list[dict[str, Any]]:
    """Every stored row, sorted, without the columns that tell times."""
    rows = [row for part in (folder / "trials").glob("part-*.parquet") for row in pq.read_table(part).to_pylist()]
    plain = [{name: value for name, value in row.items() if name not in TIMED} for row in rows]
    return sorted(plain, key=lambda row: row["trial"])


def write(config: RunConfig, path: Path) -> Path:
    """A configuration as a file."""
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    return path
