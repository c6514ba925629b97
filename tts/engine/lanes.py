"""Threads beside the device, in lanes: slow work in one lane does not delay another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import torch

Work: TypeAlias = Callable[[], None]


class AtOnce:
    """A lane without threads: work is done at once, so that counts of passes are the same on every machine."""

    def submit(self, work: Callable[..., None], *values: Any) -> None:
        """Do it."""
        work(*values)

    def shutdown(self, wait: bool = True, cancel_futures: bool = False) -> None:
        """Do nothing."""


class Lanes:
    """Lanes of threads, and tickets that are done when all their parts are.

    Args:
        widths: number of threads of each lane, by its name; 0: its work is done where it is submitted.
    """

    def __init__(self, widths: Mapping[str, int]) -> None:
        self._lanes = {
            name: ThreadPoolExecutor(width, thread_name_prefix=f"rewards-{name}") if width else AtOnce()
            for name, width in widths.items()
        }
        self._widths, self._at_work = dict(widths), dict.fromkeys(widths, 0)
        self._changed = threading.Condition()
        self._parts: dict[int, int] = {}
        self._done: list[int] = []
        self._failure: BaseException | None = None

    @property
    def busy(self) -> bool:
        """Whether any ticket is not collected yet."""
        return bool(self._parts or self._done)

    def full(self, lane: str) -> bool:
        """Whether all threads of a lane have work, and as much again waits for them."""
        return 0 < 2 * self._widths[lane] <= self._at_work[lane]

    def expect(self, tickets: Sequence[int]) -> None:
        """Add one part to some tickets."""
        with self._changed:
            for ticket in tickets:
                self._parts[ticket] = self._parts.get(ticket, 0) + 1

    def ended(self, tickets: Sequence[int]) -> None:
        """Note that one part of these tickets is done."""
        with self._changed:
            for ticket in tickets:
                self._parts[ticket] -= 1
                if not self._parts[ticket]:
                    del self._parts[ticket]
                    self._done.append(ticket)
            self._changed.notify_all()

    def submit(self, lane: str, tickets: Sequence[int], pieces: Sequence[Work]) -> None:
        """Add one part to some tickets and put it into a lane; the part is done when all its pieces are."""
        self.expect(tickets)
        left = _Countdown(len(pieces))
        with self._changed:
            self._at_work[lane] += len(pieces)

        def work(piece: Work) -> None:
            try:
                with torch.inference_mode():
                    piece()
            except BaseException as error:  # raised where the tickets are collected
                self._fail(error)
                return
            with self._changed:
                self._at_work[lane] -= 1
            if left.last():
                self.ended(tickets)

        for piece in pieces:
            self._lanes[lane].submit(work, piece)

    def collect(self, timeout: float | None) -> list[int]:
        """Finished tickets in the order in which they finished; waits for at least one, until the timeout.

        Args:
            timeout: most seconds to wait; None: no limit.

        Raises:
            BaseException: the error of a piece of work.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._done or self._failure or not self._parts, timeout)
            if self._failure is not None:
                raise self._failure
            done, self._done = self._done, []
        return done

    def drop(self) -> None:
        """Begin no further work."""
        for lane in self._lanes.values():
            lane.shutdown(wait=False, cancel_futures=True)

    def close(self) -> None:
        """Begin no further work, and wait for the work that has begun."""
        for lane in self._lanes.values():
            lane.shutdown(cancel_futures=True)

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            self._failure = self._failure or error
            self._changed.notify_all()


class _Countdown:
    """Tells the last of a number of callers that it is the last one."""

    def __init__(self, count: int) -> None:
        self._left, self._lock = count, threading.Lock()

    def last(self) -> bool:
        """Whether the caller is the last one."""
        with self._lock:
            self._left -= 1
            return not self._left
