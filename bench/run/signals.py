"""Ctrl-C, SIGTERM and SIGHUP: the first stops a run gently, a second Ctrl-C or SIGTERM at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from rich.console import Console

SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""Those of which a second one ends the process; of a terminal that closes, shell and system may both send a SIGHUP."""

STORING = "storing what is finished"
LATER_SECONDS = 0.02


class Interrupted(KeyboardInterrupt):
    """A signal asked to stop; ``code`` is the exit code that says so."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.code = 128 + number


class StopFlag:
    """Whether a signal has asked to stop; ``number`` is the signal's.

    While it is ``held``, a signal only sets it. Else a signal interrupts at once, as nothing needs to be stored then.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.held = False

    def check(self) -> None:
        """Stop here, if a signal has asked to.

        Raises:
            Interrupted: one has.
        """
        if self.number is not None:
            raise Interrupted(self.number)


_present = StopFlag()
"""The flag that handlers set: signals belong to the whole process."""


@contextmanager
def held() -> Iterator[StopFlag]:
    """Let signals set a flag that somebody reads often, where an interruption might lose what is under way.

    Raises:
        Interrupted: a signal came, and nothing else has gone wrong since.
    """
    flag = _present
    flag.held = True
    try:
        yield flag
    finally:
        flag.held = False
    flag.check()


def _swallows(frame: FrameType | None) -> bool:
    """Whether an exception raised now would be lost, as in the end of an object."""
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


@contextmanager
def gently(console: Console, last: str = STORING) -> Iterator[None]:
    """Turn a first signal into :class:`Interrupted`, or set the flag that is :func:`held`; let a second one end all.

    The second one ends the process, whatever it is doing. A terminal that closes does not; where its signal is ignored,
    as under ``nohup``, it stays so.

    Args:
        last: what is done before the end, for people.
    """
    if threading.current_thread() is not threading.main_thread():  # signals can be caught there only
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        if not _present.held and _swallows(frame):
            threading.Timer(LATER_SECONDS, signal.pthread_kill, (threading.get_ident(), number)).start()
            return
        for every in before:
            signal.signal(every, leave if every in SIGNALS else signal.SIG_IGN)
        with suppress(RuntimeError):  # it came in the middle of another line
            console.print(f"stopping: {last}; once more to leave at once")
        if not _present.held:
            raise Interrupted(number)
        _present.number = number

    def leave(number: int, _: FrameType | None) -> None:
        os._exit(128 + number)

    caught = [*SIGNALS] if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else [*SIGNALS, signal.SIGHUP]
    before = {number: signal.signal(number, stop) for number in caught}
    try:
        yield
    finally:
        _present.number = None
        for number, handler in before.items():
            signal.signal(number, handler)
