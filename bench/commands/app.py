"""The command line. Nothing heavy is imported before a command runs, so that help appears at once."""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Callable
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import typer

from bench.commands.calibrate import calibrate
from bench.commands.check import check
from bench.commands.compare import compare
from bench.commands.curves import curves
from bench.commands.doctor import doctor
from bench.commands.duel import duel
from bench.commands.export import export
from bench.commands.generate import generate
from bench.commands.list import list_plugins
from bench.commands.metrics import metrics
from bench.commands.options import err
from bench.commands.plan import plan
from bench.commands.protocol import protocol
from bench.commands.replay import replay
from bench.commands.report import report
from bench.commands.run import run
from bench.commands.scale import scale
from bench.commands.serve import serve
from bench.commands.status import status
from bench.commands.tabulate import tabulate
from bench.commands.train import train
from bench.commands.verify import verify
from bench.store.plain import plain
from tts.errors import EngineError, TTSError
from tts.files.addresses import redacted

OF_A_PATH = {
    errno.ENOENT,
    errno.EACCES,
    errno.EPERM,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ELOOP,
}
"""Errors of the system that are about a path as such; of others, such as a device's, a traceback says more."""

app = typer.Typer(
    name="tts-bench",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Measure test-time scaling of diffusion models: search over the injected noise, at every budget.",
)
COMMANDS: tuple[Callable[..., None], ...] = (
    run,
    scale,
    calibrate,
    doctor,
    plan,
    status,
    curves,
    metrics,
    report,
    replay,
    verify,
    export,
    tabulate,
    compare,
    duel,
    list_plugins,
    protocol,
    check,
    train,
    generate,
    serve,
)
"""In the order in which the help names them."""

for command in COMMANDS:
    app.command(command.__name__.partition("_")[0])(command)


def main() -> None:
    """Entry point: an error of ours is one line on stderr, exit code 2 (settings) or 1 (engines)."""
    _own_pictures()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal without a character shows '?' for it, and is no error
            stream.reconfigure(errors="replace")
    try:
        sys.exit(call(app))
    finally:
        _let_go()


def _let_go() -> None:
    """Drop what the log could not take, which would make another exit code of the command's when Python ends."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            try:
                stream.flush()
            except OSError:
                with Path(os.devnull).open("wb") as nothing:
                    os.dup2(nothing.fileno(), stream.fileno())


def _own_pictures() -> None:
    """Draw without a window and in our own style, whatever the user's matplotlib is set to."""
    os.environ["MPLBACKEND"] = "agg"
    os.environ["MATPLOTLIBRC"] = os.devnull
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # no warning of a cache that cannot be written


def call(command: Callable[..., Any], *arguments: Any) -> int:
    """Run a command and turn our errors, and those about a path, into exit codes."""
    try:
        command(*arguments)
    except TTSError as error:
        return _told(str(error), 1 if isinstance(error, EngineError) else 2)
    except OSError as error:
        if error.filename is None or error.errno not in OF_A_PATH:
            raise
        return _told(f"{error.filename}: {error.strerror}", 2)  # a path of the user's, at which nobody may look, say
    return 0


def _told(error: str, code: int) -> int:
    message = " ".join(plain(redacted(f"error: {error}")).splitlines())  # of values that users give, too
    err.print(message, style="red", highlight=False, markup=False, soft_wrap=True)
    return code
