"""The GPUs of an engine: those of its denoiser and the one of its rewards."""

from __future__ import annotations

from typing import Any

import pytest

from bench.study.engines import Engines
from tts.errors import SettingError
from tts.settings import parse


@pytest.mark.parametrize(
    ("given", "share", "model", "reward"),
    [
        ({}, 1, 1, "cuda"),
        ({"gpus": 0.5}, 0.5, 1, "cuda"),
        ({"gpus": 2}, 2, 1, "cuda:1"),
        ({"reward_gpus": 1}, 2, 1, "cuda:1"),
        ({"model_gpus": 2}, 2, 2, "cuda"),
        ({"model_gpus": 3, "reward_gpus": 1}, 4, 3, "cuda:3"),
    ],
)
def test_an_engines_gpus_are_shared_out(given: dict[str, Any], share: float, model: int, reward: str) -> None:
    engines = parse(Engines, {"device": "cuda", **given}, "engines")
    assert (engines.gpu_share, len(engines.model_devices), engines.reward_device) == (share, model, reward)
    assert engines.numerics() == parse(Engines, {"device": "cuda"}, "engines").numerics()


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"model_gpus": 2, "gpus": 2}, "gpus: follows from model_gpus and reward_gpus; leave it out"),
        ({"model_gpus": 2, "device": "cpu"}, "model_gpus: a network on several GPUs needs device: cuda"),
        ({"model_gpus": 2, "compile": True}, "cannot be compiled"),
    ],
)
def test_what_does_not_fit_together_is_refused(given: dict[str, Any], match: str) -> None:
    with pytest.raises(SettingError, match=match):
        parse(Engines, {"device": "cuda", **given}, "engines")
