"""Processors that this process may use."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """How many there are: those it is restricted to, where the system can tell (macOS cannot), else all of them."""
    restricted = getattr(os, "sched_getaffinity", None)
    return len(restricted(0)) if restricted is not None else os.cpu_count() or 1
