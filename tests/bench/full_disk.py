"""A disk that can be full, and helpers that wait for the writer's thread."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_store import MANIFEST, REWARDS, opened

from bench.store.writer import Store
from tts.errors import SettingError

PATIENCE = 20.0
"""Seconds within which another thread must have done its work."""


class Disk:
    """A disk that can be full."""

    def __init__(self, patch: pytest.MonkeyPatch, call: str = "fsync") -> None:
        self.full, self.refused, self._works = False, 0, getattr(os, call)
        patch.setattr(os, call, self._write)

    def _write(self, *arguments: Any) -> Any:
        if self.full:
            self.refused += 1
            raise OSError(28, "No space left on device")
        return self._works(*arguments)


def until(true: Callable[[], object]) -> None:
    """Wait until another thread has made something true."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def free(folder: Path) -> bool:
    """Whether another driver could lock the folder."""
    again = Store(folder, REWARDS)
    try:
        again.open("d", MANIFEST)
    except SettingError:
        return False
    again.close()
    return True


def opened_while_full(folder: Path, disk: Disk) -> Store:
    """A store on a disk that became full after the store was opened."""
    disk.full = False
    made = opened(folder, flush_rows=1)
    disk.full = True
    return made
