"""Prices of an hour of each device, as a user gives them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from tts.errors import SettingError


@dataclass(frozen=True)
class Prices:
    """Prices of an hour, in any currency.

    Args:
        all: of every device that has none of its own; NaN: unknown.
        own: by the device's name, as trials have it.
    """

    all: float = math.nan
    own: dict[str, float] = field(default_factory=dict)

    def of(self, devices: pd.Series[Any]) -> float:
        """Of an hour of the devices that trials were computed on; NaN: unknown, or they have several prices."""
        found = {self.own.get(str(device), self.all) for device in devices.dropna().unique()}
        return found.pop() if len(found) == 1 else math.nan


def parsed_prices(given: Sequence[str]) -> Prices:
    """Prices from ``2.5``, for all devices, and ``NAME=2.5``.

    Raises:
        SettingError: one is no price.
    """
    every, own = math.nan, dict[str, float]()
    for text in given:
        name, _, number = text.rpartition("=")
        try:
            price = float(number)
        except ValueError:
            price = math.nan
        if not 0 <= price < math.inf:
            raise SettingError(f"--price {text}: expected a number, or DEVICE=NUMBER, for example 'NVIDIA H200=3.5'")
        if name:
            own[name] = price
        else:
            every = price
    return Prices(every, own)
