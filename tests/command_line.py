"""Run ``tts-bench`` as users do, and examine what it leaves behind."""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image

from bench.commands import app


@dataclass(frozen=True)
class Result:
    """Result of a command."""

    code: int
    out: str
    err: str

    @property
    def words(self) -> str:
        """The command's output, without line breaks."""
        return " ".join(self.out.split())


@cache
def _read() -> Any:
    """The program with the options of all its commands, kept since typer would read them anew at each call."""
    return typer.main.get_command(app.app)


def bench(*arguments: object) -> Result:
    """Run ``tts-bench`` in this process, through its entry point."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        command = _read()
        patch.setattr(app, "app", command)
        patch.setattr(sys, "argv", ["tts-bench", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            app.main()
    assert isinstance(end.value.code, int)
    return Result(end.value.code, out.getvalue(), err.getvalue())


def refused(message: str, *arguments: object, code: int = 2) -> None:
    """Run a command with a mistake: assert its exit code, one line on stderr with ``message``, and no other output."""
    result = bench(*arguments)
    assert message in result.err
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1
    assert result.err.endswith("\n")
    assert (result.code, result.out) == (code, "")


def tree(folder: Path) -> dict[Path, tuple[bytes, int] | None]:
    """Everything below a folder: for files, the content and the time of the last change."""
    return {
        path: (path.read_bytes(), path.stat().st_mtime_ns) if path.is_file() else None for path in folder.rglob("*")
    }


def size(path: Path) -> tuple[int, int]:
    """Width and height of a picture."""
    with Image.open(path) as picture:
        return picture.size
