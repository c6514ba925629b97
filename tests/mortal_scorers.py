"""Processes of scorers with set fates; a module of its own, as a new process imports all that is beside it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from bench.study.config import RunConfig
from bench.workers.scorers.judge import Answer
from tts.errors import EngineError

FATES = "TTS_BENCH_TEST_FATES"
"""Names the file of the fates: a word for each process that will start."""


def set_fates(*fates: str) -> None:
    """What becomes of the next processes: ``ends`` or ``refuses`` while loading, ``dies`` over a batch, ``scores``."""
    Path(os.environ[FATES]).write_text(" ".join(fates))


def fates_left() -> Sequence[str]:
    """Those of processes that have not started."""
    return Path(os.environ[FATES]).read_text().split()


def serve(config: RunConfig, pipe: Connection) -> None:
    """As :func:`bench.workers.scorers.processes.serve`, with the next fate."""
    fate, *others = fates_left()
    set_fates(*others)
    if fate == "ends":
        return
    if fate == "refuses":
        pipe.send(EngineError("no such weights"))
        return
    pipe.send(None)
    while True:
        try:
            _, images, _ = pipe.recv()
        except EOFError:
            return
        if fate == "dies":
            return
        pipe.send([Answer(1.0)] * len(images))
