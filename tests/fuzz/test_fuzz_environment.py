"""The command in surroundings that real machines have: no home, no language, a narrow terminal, few open files."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fuzz import EXAMPLES

ROOT = Path(__file__).parents[2]
COMMANDS = [("list", "searches"), ("plan", "quickstart"), ("status", "nothing-here"), ("plan", "nothing.yaml")]


def few_files() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))


def full_disk() -> None:
    """No file may grow, as on a disk that is full."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


Surroundings = tuple[dict[str, str | None], list[str], Callable[[], None] | None]

ALL: dict[str, Surroundings] = {
    "plain": ({}, [], None),
    "no home": ({"HOME": None, "TTS_CACHE": None}, [], None),
    "a home that is no folder": ({"HOME": "/dev/null", "TTS_CACHE": None}, [], None),
    "a home that takes no files": ({"HOME": "/proc/self", "TTS_CACHE": None}, [], None),
    "LANG=C": ({"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0"}, [], None),
    "narrow": ({"COLUMNS": "20", "TERM": "dumb"}, [], None),
    "no terminal": ({"TERM": None, "COLUMNS": None, "NO_COLOR": "1"}, [], None),
    "few open files": ({}, [], few_files),
    "files that may not grow": ({}, [], full_disk),
    "no temporary folder": ({"TMPDIR": "/nonexistent"}, [], None),
    "optimised": ({}, ["-O"], None),
}


@pytest.mark.parametrize("where", ALL if EXAMPLES else ["LANG=C"])
@pytest.mark.parametrize("command", COMMANDS if EXAMPLES else COMMANDS[2:3], ids=" ".join)
def test_commands_say_what_is(tmp_path: Path, where: str, command: tuple[str, ...]) -> None:
    changes, options, limit = ALL[where]
    environment = {"PYTHONPATH": str(ROOT), **os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    environment |= {name: value for name, value in changes.items() if value is not None}
    for name in [name for name, value in changes.items() if value is None]:
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, *options, "-m", "bench", *command],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        preexec_fn=limit,
        timeout=120,
        check=False,
    )
    said = (done.stdout + done.stderr).decode()
    assert "Traceback" not in said
    assert done.returncode == (2 if "nothing" in command[1] else 0), said
    assert list(tmp_path.iterdir()) == []
