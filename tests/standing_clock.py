"""A clock that stands still, in place of the clock of the status."""

from __future__ import annotations

AGO = 1000.0


class Clock:
    """Stands for the module ``time`` in the status only; time moves when a test moves it."""

    def __init__(self) -> None:
        self.now, self.slept = 100.0, list[float]()

    def monotonic(self) -> float:
        """The monotonic clock's seconds."""
        return self.now

    def time(self) -> float:
        """The wall clock's seconds."""
        return AGO + self.now

    def sleep(self, seconds: float) -> None:
        """Record the seconds."""
        self.slept.append(seconds)
