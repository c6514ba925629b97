"""Write rows to the store in a thread of its own: a slow or broken store holds up no engine."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from bench.store.row import TrialRow
from bench.store.writer import Store
from tts.errors import SettingError, TTSError

LONGEST_PAUSE = 10.0
"""Seconds between two attempts, at most."""

LOOK_SECONDS = 0.5
"""How often a driver that waits for its last rows to be stored looks for signals."""

MOST_WAITING = 4096
"""Rows that may wait for a broken store before no more trials are begun."""

MOST_BYTES = 512 << 20
"""Bytes of these rows, likewise: large images and long traces fill the memory long before many rows wait."""


class Writer:
    """Takes rows immediately and stores them soon.

    Args:
        store: open.
        patience: seconds for which a part that cannot be written is tried again.
        warn: takes a line about a store that cannot be written to, and when it can again.
    """

    def __init__(self, store: Store, patience: float = 0.0, warn: Callable[[str], None] = lambda _: None) -> None:
        self._store, self._patience, self._warn = store, patience, warn
        self._changed = threading.Condition()
        self._rows: deque[TrialRow] = deque()
        self._bytes = 0
        self._ending = False
        self._failure: TTSError | None = None
        self._thread = threading.Thread(target=self._work, name="writer", daemon=True)
        self._thread.start()

    @property
    def full(self) -> bool:
        """Whether so many rows wait, or so large ones, that no trial should be begun."""
        return len(self._rows) >= MOST_WAITING or self._bytes >= MOST_BYTES

    def add(self, row: TrialRow) -> None:
        """Take a row."""
        with self._changed:
            self._rows.append(row)
            self._bytes += row.nbytes
            self._changed.notify_all()

    def tick(self) -> None:
        """Tell the driver if rows can be stored no more.

        Raises:
            SettingError: the store could not be written to for too long.
        """
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """Store what waits, and let the store go.

        Raises:
            SettingError: that could not be done; the rows' trials will be run again.
        """
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        try:
            self._join()
            if self._failure is not None:
                lost = len(self._rows) + self._store.waiting
                raise SettingError(f"{self._failure}; {lost} finished trials are not stored, and will be run again")
        finally:
            self._store.let_go()

    def _join(self) -> None:
        """Wait for the thread; a first interruption meanwhile does not keep it from storing what waits."""
        interruption: KeyboardInterrupt | None = None
        while self._thread.is_alive():
            try:
                self._thread.join(LOOK_SECONDS)  # Python can miss a signal that comes just as a long wait begins
            except KeyboardInterrupt as error:
                if interruption is not None:
                    raise
                interruption = error
        if interruption is not None and self._failure is None:
            raise interruption

    def _work(self) -> None:
        try:
            while not (self._ending and not self._rows):
                with self._changed:
                    self._changed.wait_for(lambda: self._rows or self._ending, timeout=self._pause())
                while self._rows:
                    self._insist(lambda: self._store.add(self._next()))
                self._insist(self._store.tick)
            self._insist(self._store.flush)
        except TTSError as error:
            self._failure = error
        except BaseException as error:  # else the run would go on for days and store nothing
            self._failure = TTSError(f"rows cannot be stored ({type(error).__name__}: {' '.join(str(error).split())})")

    def _next(self) -> TrialRow:
        with self._changed:  # the driver adds to both
            row = self._rows.popleft()
            self._bytes -= row.nbytes
        return row

    def _pause(self) -> float:
        return min(1.0, max(0.05, self._store.flush_seconds))

    def _insist(self, act: Callable[[], None]) -> None:
        """Do something with the store, again and again while it fails."""
        start, pause = time.monotonic(), 0.5
        try:
            act()
        except SettingError as error:
            problem = error
        else:
            return
        if self._patience:
            self._warn(f"{problem}; trying again for {self._patience:.0f} s, the engines go on")
        while time.monotonic() - start < self._patience:
            time.sleep(min(pause, max(0.0, self._patience - (time.monotonic() - start))))
            pause = min(2 * pause, LONGEST_PAUSE)
            try:
                self._store.tick()
                self._store.flush()
            except SettingError as error:
                problem = error
            else:
                self._warn("the output can be written to again")
                return
        raise problem
