"""Ctrl-C and SIGTERM: the first stops a run gently, the second at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """A signal asked to stop; ``code`` is the exit code that says so."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.code = 128 + number


@contextmanager
def gently(console: Console) -> Iterator[None]:
    """Turn a first signal into :class:`Interrupted` and let a second one end the process, whatever it is doing."""
    if threading.current_thread() is not threading.main_thread():  # only there can signals be caught
        yield
        return

    def stop(number: int, _: FrameType | None) -> None:
        for every in SIGNALS:
            signal.signal(every, leave)
        console.print("stopping: storing what is finished; once more to leave at once")
        raise Interrupted(number)

    def leave(number: int, _: FrameType | None) -> None:
        os._exit(128 + number)

    before = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
