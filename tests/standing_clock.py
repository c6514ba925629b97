"""A clock that stands still, in place of the status's own."""

from __future__ import annotations

AGO = 1000.0


class Clock:
    """The module ``time`` for the status alone; it stands still."""

    def __init__(self) -> None:
        self.now, self.slept = 100.0, list[float]()

    def monotonic(self) -> float:
        """Seconds."""
        return self.now

    def time(self) -> float:
        """Seconds, too."""
        return AGO + self.now

    def sleep(self, seconds: float) -> None:
        """Take note."""
        self.slept.append(seconds)
