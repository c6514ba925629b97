"""Runs whose noises are made on the device have another identity and other images, and their rows replay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console
from tiny_study import small

from bench.run.doctor.noises import noises
from bench.run.replay import replay
from bench.run.start import run
from bench.store import reader as store
from bench.study.config import Engines, RunConfig
from bench.study.study import Study
from tts.errors import SettingError
from tts.settings import parse

SMALLEST: dict[str, Any] = {
    "model": small(steps=3),
    "searches": [{"name": "zero_order", "N": 2, "K": 1}],
    "rewards": ["brightness"],
    "problems": {"conditions": [0]},
}


def test_the_recipe_is_part_of_the_identity(tiny: Callable[..., RunConfig]) -> None:
    host, device = (Study(tiny(engines={"noise": noise})) for noise in ("host", "device"))
    assert host.digest() == Study(tiny()).digest()
    assert device.context.numerics["noise"] == ["device", 1]
    assert {trial.key for trial in host.trials()}.isdisjoint(trial.key for trial in device.trials())


def test_threads_that_would_have_nothing_to_do_are_refused() -> None:
    with pytest.raises(SettingError, match="noise_threads: noise: device needs none"):
        parse(Engines, {"noise": "device", "noise_threads": 2}, "engines")


def test_rows_are_played_again_by_their_own_noises(tiny: Callable[..., RunConfig]) -> None:
    config = tiny(engines={"noise": "device", "batch": 2}, **SMALLEST)
    run(config, Console(quiet=True))
    [row] = store.read(config.output).to_pylist()
    assert replay(config.output, row["trial"], trust=True).identical


def test_doctor_compares_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    [found] = noises(Engines())
    assert (found.verdict.name, found.seen) == ("FINE", "the same bits as everywhere")
    monkeypatch.setattr("tts.device_noise.normals.MILLION_SHA256", "another")
    assert [next(noises(Engines(noise=noise))).verdict.name for noise in ("host", "device")] == ["LOOK", "BAD"]
