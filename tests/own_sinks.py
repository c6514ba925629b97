"""A user's own sinks: one that keeps what it is told, and others that fail or never return."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field

from bench.sinks.base import CurvePoint, RunFacts, SinkSettings, Tracker

NEVER = threading.Event()
"""Event for which a hanging sink waits; the test sets it at its end."""


class Kept(SinkSettings):
    """Keeps everything in :attr:`told`."""

    told: ClassVar[list[tuple[Any, ...]]] = []

    def open(self, run: RunFacts) -> Tracker:
        self.told.append(("open", run.identity))
        return _Kept(self.told)


class Breaks(Kept):
    """The same, but the first tracker fails at its first numbers and from then on."""

    def open(self, run: RunFacts) -> Tracker:
        tracker = super().open(run)
        return _Breaks(self.told) if len(self.told) == 1 else tracker


class _Kept:
    def __init__(self, told: list[tuple[Any, ...]]) -> None:
        self.told = told

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        self.told.append(("numbers", step, dict(values)))

    def image(self, name: str, png: bytes, step: int) -> None:
        self.told.append(("image", name, png))

    def curves(self, points: Sequence[CurvePoint], step: int) -> None:
        self.told.append(("curves", list(points)))

    def end(self, state: str) -> None:
        self.told.append(("end", state))


class _Breaks(_Kept):
    def numbers(self, values: Mapping[str, float], step: int) -> None:
        raise OSError(28, "No space left on device")

    def curves(self, points: Sequence[CurvePoint], step: int) -> None:
        raise OSError(28, "No space left on device")


class Broken(SinkSettings):
    """Fails, exits or hangs at one of its calls."""

    at: str = Field(description="the call")
    how: str = Field("fail", description="fail, exit or hang")

    def open(self, run: RunFacts) -> Tracker:
        found = _Broken(self)
        found.reach("open")
        return found


class _Broken:
    def __init__(self, settings: Broken) -> None:
        self.settings = settings

    def reach(self, call: str) -> None:
        if call != self.settings.at:
            return
        if self.settings.how == "hang":
            NEVER.wait()
        elif self.settings.how == "exit":
            raise SystemExit(3)
        else:
            raise ConnectionError(f"no answer from https://user:word@host/x with {os.environ.get('MY_API_KEY')}\nmore")

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        self.reach("numbers")

    def image(self, name: str, png: bytes, step: int) -> None:
        self.reach("image")

    def curves(self, points: Sequence[CurvePoint], step: int) -> None:
        self.reach("curves")

    def end(self, state: str) -> None:
        self.reach("end")
