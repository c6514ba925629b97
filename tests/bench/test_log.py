"""A log that cannot be written: its lines are lost, and the work goes on."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tiny_study import SHIPPED, TINY

from bench.commands.options import Log
from bench.run.progress import line_or_bar
from bench.store import reader as store

ROOT = Path(__file__).parents[2]


class Stream(io.StringIO):
    """Takes nothing while it is broken."""

    broken: int | None = None

    def write(self, text: str) -> int:
        """Write, or fail."""
        if self.broken is not None:
            raise OSError(self.broken, os.strerror(self.broken))
        return super().write(text)


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EPIPE])
def test_lines_are_lost_until_they_can_be_written_again(number: int, terminal: bool) -> None:
    stream = Stream()
    log = Log(file=stream, force_terminal=terminal, width=80)
    log.print("one")
    stream.broken = number
    log.print("two")
    with line_or_bar(log, "running") as show:
        show(1, 1, "all of it")
    stream.broken = None
    log.print("three")
    said = [line for line in stream.getvalue().splitlines() if line.isalpha()]
    assert said == (["one"] if number == errno.EPIPE else ["one", "three"])


def ended(command: str, where: str, folder: Path) -> tuple[int, str]:
    """The exit code of a command whose output goes somewhere, and its errors."""
    shell = f"{sys.executable} -m bench {command} {where}; exit ${{PIPESTATUS[0]}}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""}
    done = subprocess.run(
        ["bash", "-c", shell], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    return done.returncode, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("where", ["> /dev/full", "> /dev/full 2>&1", "| true", "2>&1 | true"])
def test_a_run_stores_all_that_it_finishes(where: str, tmp_path: Path) -> None:
    engines = {"backend": "local", "batch": 4, "simulate": 0}
    study = {**TINY, "model": SHIPPED, "searches": ["naive"], "engines": engines, "output": "run"}
    (tmp_path / "it.yaml").write_text(yaml.safe_dump(study))
    assert ended("run it.yaml --no-report", where, tmp_path) == (0, "")
    assert len(store.done(tmp_path / "run")) == 6


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "where", "code"),
    [("list searches", "| true", 1), ("run missing", "2> /dev/full", 2), ("run missing", "2>&1 | true", 2)],
)
def test_what_only_prints_ends_and_an_error_keeps_its_code(command: str, where: str, code: int, tmp_path: Path) -> None:
    assert ended(command, where, tmp_path) == (code, "")
