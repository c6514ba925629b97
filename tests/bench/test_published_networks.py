"""Networks of published sizes with random weights have the stated sizes and take prompts from a store."""

from __future__ import annotations

import re
from pathlib import Path

import diffusers
import pytest
import torch

from bench.benchmarks.published import SD15, DiTXL, FluxDev, Random, Sana1600M, SD35Medium
from tts.models.encoding import encode_lacking, lacking, prompted
from tts.models.prompt_store import PromptStore

MODELS = [DiTXL, SD15, SD35Medium, FluxDev, Sana1600M]


@pytest.mark.parametrize("kind", MODELS)
def test_a_network_has_the_size_that_it_says(kind: type[Random]) -> None:
    number, unit = re.findall(r"([\d.]+)([MB])\b", kind.__doc__ or "")[-1]
    part, name = next(iter(kind.COMPONENTS.items()))
    with torch.device("meta"):
        network = getattr(diffusers, name).from_config(kind.CONFIGS[part])
    found = sum(each.numel() for each in network.parameters())
    assert found == pytest.approx(float(number) * {"M": 1e6, "B": 1e9}[unit], rel=0.03)


@pytest.mark.parametrize("kind", MODELS[1:])
def test_prompts_come_from_a_store_without_text_encoders(kind: type[Random], tmp_path: Path) -> None:
    settings, store = kind(), PromptStore(tmp_path, {"device": "cpu"})
    assert encode_lacking(settings, ["a cat", "a dog"], store, "cpu") == 3
    assert lacking(settings, ["a cat", "a dog"], store) == 0
    [model] = prompted(settings)
    encoded = store.read(store.key(model.encoder_identity(), "a cat"))
    assert {name: tuple(value.shape) for name, value in encoded.items()} == kind.STATES
