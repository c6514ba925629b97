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


LATER_SECONDS = 0.02


class Interrupted(KeyboardInterrupt):
    """A signal asked to stop; ``code`` is the exit code that says so."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.code = 128 + number


def _swallows(frame: FrameType | None) -> bool:
    """Whether an exception raised now would be lost, as in the end of an object."""
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


@contextmanager
def gently(console: Console) -> Iterator[None]:
    """Turn a first signal into :class:`Interrupted` and let a second one end the process, whatever it is doing."""
    if threading.current_thread() is not threading.main_thread():  # only there can signals be caught
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        if _swallows(frame):
            threading.Timer(LATER_SECONDS, signal.pthread_kill, (threading.get_ident(), number)).start()
            return
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
