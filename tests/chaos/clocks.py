"""Clocks that leap."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import pytest

from chaos.quota import Quota

JUMP = "clock jump"
CHANCE = 0.002


class Clock:
    """The module ``time``, whose clocks leap: the wall clock both ways, the monotonic one ahead."""

    sleep, perf_counter = staticmethod(time.sleep), staticmethod(time.perf_counter)
    process_time = staticmethod(time.process_time)

    def __init__(self, coins: random.Random, quota: Quota) -> None:
        self.coins, self.quota, self.ahead, self.wall = coins, quota, 0.0, 0.0

    def monotonic(self) -> float:
        """Seconds that never go back."""
        self._leap()
        return time.monotonic() + self.ahead

    def time(self) -> float:
        """Seconds that may."""
        self._leap()
        return time.time() + self.wall

    def _leap(self) -> None:
        if self.coins.random() < CHANCE and self.quota.spend(JUMP):
            self.ahead += self.coins.choice([0.5, 30.0, 7200.0])
            self.wall += self.coins.choice([-86400.0, -1.0, 3600.0])


def _modules() -> list[ModuleType]:
    """Those of the harness that look at a clock."""
    mine = [module for name, module in sys.modules.items() if name.startswith("bench.")]
    return [module for module in mine if getattr(module, "time", None) is time]


@contextmanager
def leaping(coins: random.Random, quota: Quota) -> Iterator[Clock]:
    """All of the harness lives by a clock that leaps."""
    with pytest.MonkeyPatch.context() as patch:
        clock = Clock(coins, quota)
        for module in _modules():
            patch.setattr(module, "time", clock)
        yield clock
