"""Rates of noises: every way of making them is measured, and the needs of fast devices are printed."""

from __future__ import annotations

import pytest

from bench.benchmarks import noise_rates
from bench.benchmarks.noise_rates import NoiseRate, rates


def test_every_way_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noise_rates, "BATCH_VALUES", 2 * 3072)
    found = list(rates("3x32x32", [0, 1], "cpu", 0.0))
    assert [(each.way, each.moved) for each in found] == [
        (way, moved) for moved in (False, True) for way in ("host, own thread", "host, 1 beside", "device (cpu)")
    ]
    assert all(each.values_per_second > 0 for each in found)
    assert all(each.values_per_cpu_second > 0 for each in found)


def test_what_a_fast_device_needs_is_told_in_threads() -> None:
    """3,000 rows a second of 12,288 values each, at 12.288 million values per second of one thread."""
    row = NoiseRate("host, 1 beside", "3x64x64", False, 1, 6.144e6, 12.288e6).row()
    assert row == ["host, 1 beside", "3x64x64", "fresh", "6.1", "12.3", "500", "ADM-64: 3.00"]
    assert NoiseRate("device (cuda)", "3x64x64", False, 0, 1e9, 1e9).row()[-1] == ""
