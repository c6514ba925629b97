"""Assign each moment of an engine's time to one part: simultaneous work is counted once, so that all parts add up."""

from __future__ import annotations

import math
import threading
from typing import Literal, TypeAlias

from tts.engine.requests import EngineCounters

Kind: TypeAlias = Literal["pass", "decode", "reward", "noise", "awaiting"]
Span: TypeAlias = tuple[float, float]

KINDS: tuple[Kind, ...] = ("pass", "decode", "reward", "noise", "awaiting")
"""A moment of several kinds counts as the first of them here: work that a pass hides costs nothing."""


class Timeline:
    """Takes spans of time and adds their parts to an engine's counters; other threads may add spans.

    Args:
        load: the counters. ``decode``, ``reward``, ``noise``, ``awaiting`` and ``idle`` are counted here; passes never
            overlap, and the code that measures them counts them.
    """

    def __init__(self, load: EngineCounters) -> None:
        self._load = load
        self._spans: dict[Kind, list[Span]] = {kind: [] for kind in KINDS}
        self._lock = threading.Lock()

    def add(self, kind: Kind, begin: float, end: float) -> None:
        """Add a span, in seconds of one clock."""
        if end > begin:
            with self._lock:
                self._spans[kind].append((begin, end))

    def settle(self, until: float = math.inf) -> None:
        """Count the time before ``until``; unknown spans may lie after it."""
        with self._lock:
            known = {kind: _split(spans, until) for kind, spans in self._spans.items()}
            self._spans = {kind: after for kind, (_, after) in known.items()}
        covered, length = list[Span](), 0.0
        for kind in KINDS:
            before = known[kind][0]
            if before:
                covered += before
                longer = _length(covered)
                self._count(kind, longer - length)
                length = longer

    def _count(self, kind: Kind, seconds: float) -> None:
        if kind == "pass":
            return
        setattr(self._load, kind, getattr(self._load, kind) + seconds)
        if kind == "awaiting":
            self._load.idle += seconds


def _split(spans: list[Span], at: float) -> tuple[list[Span], list[Span]]:
    """The parts of some spans before a time, and those after it."""
    before = [(begin, min(end, at)) for begin, end in spans if begin < at]
    after = [(max(begin, at), end) for begin, end in spans if end > at]
    return before, after


def _length(spans: list[Span]) -> float:
    """Seconds that at least one of some spans covers."""
    total, reached = 0.0, -math.inf
    for begin, end in sorted(spans):
        if end > reached:
            total += end - max(begin, reached)
            reached = end
    return total
