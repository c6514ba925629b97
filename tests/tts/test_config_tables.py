"""Tables of configuration keys: complete for the installed releases, and correct for a scheduler's steps."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import diffusers
import pytest
import tiny_pipelines
import transformers
from diffusers.models.transformers.transformer_2d import Transformer2DModel

from tts.errors import WeightsError
from tts.models.config_keys import (
    INDEX,
    SCHEDULER,
    TABLES,
    TEXT,
    TOKENIZER,
    TRANSFORMER,
    UNET,
    VAE,
    VAE_FLOW,
    VAE_XL,
)
from tts.models.schedule import CheckpointSchedule, prediction_type
from tts.registry import MODELS

PIPELINES = ["StableDiffusionPipeline", "StableDiffusionXLPipeline", "DiTPipeline", "LatentConsistencyModelPipeline"]
WITH_BETAS = [
    name
    for name in dir(diffusers)
    if name.endswith("Scheduler") and "beta_schedule" in inspect.signature(getattr(diffusers, name)).parameters
]

PUBLISHED: dict[str, dict[str, Any]] = {
    "runwayml/stable-diffusion-v1-5 scheduler": {
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "num_train_timesteps": 1000,
        "set_alpha_to_one": False,
        "skip_prk_steps": True,
        "steps_offset": 1,
        "trained_betas": None,
        "clip_sample": False,
    },
}


def signature(kind: Any) -> dict[str, Any]:
    """Keys of a class's configuration, and their defaults."""
    found = inspect.signature(kind.__init__).parameters
    return {name: each.default for name, each in found.items() if name not in ("self", "kwargs")}


def union(*kinds: Any) -> dict[str, Any]:
    return {name: default for kind in kinds for name, default in signature(kind).items()}


CLASSES: dict[str, tuple[Any, dict[str, Any]]] = {
    "UNet2DConditionModel": (UNET, signature(diffusers.UNet2DConditionModel)),
    "AutoencoderKL": (VAE, signature(diffusers.AutoencoderKL)),
    "AutoencoderKL of SDXL": (VAE_XL, signature(diffusers.AutoencoderKL)),
    "AutoencoderKL of a flow": (VAE_FLOW, signature(diffusers.AutoencoderKL)),
    "DiTTransformer2DModel": (TRANSFORMER, union(Transformer2DModel, diffusers.DiTTransformer2DModel)),
    "schedulers": (SCHEDULER, union(*[getattr(diffusers, name) for name in WITH_BETAS])),
    "CLIPTextConfig": (TEXT, transformers.CLIPTextConfig().to_dict()),
    "pipelines": (INDEX, union(*[getattr(diffusers, name) for name in PIPELINES])),
}
"""Tables, with the keys and defaults of the installed releases."""


@pytest.mark.parametrize("name", CLASSES)
def test_every_key_of_the_installed_release_has_a_place(name: str) -> None:
    table, keys = CLASSES[name]
    missing = {key for key in keys if key not in table and not key.startswith("_")}
    assert not missing, "say in tts/models/config_keys.py what becomes of these"


@pytest.mark.parametrize("name", CLASSES)
def test_defaults_of_the_installed_release_are_supported(name: str) -> None:
    """A key that is left out has its default, so the default must be supported."""
    table, keys = CLASSES[name]
    few = {"snr_shift_scale", "norm_type", "in_channels", "out_channels", "attention_type"}
    for key in keys.keys() - few:
        values = table[key].values if key in table else ()
        assert not values or keys[key] in values, key


def test_what_is_saved_by_the_installed_releases_is_known(tmp_path: Path) -> None:
    """This covers every configuration of every pipeline, including tokenizers."""
    for name, make in tiny_pipelines.PIPELINES.items():
        folder = tiny_pipelines.save(make(), tmp_path / name)
        for file in folder.rglob("tokenizer_config.json"):
            assert not json.loads(file.read_text()).keys() - TOKENIZER.keys()
        MODELS.make({"name": name, "id": str(folder)})[1].check()


def test_a_schedule_is_read_as_it_is_published() -> None:
    config = PUBLISHED["runwayml/stable-diffusion-v1-5 scheduler"]
    assert not config.keys() - SCHEDULER.keys()
    expected = diffusers.DDIMScheduler.from_config(config)
    assert CheckpointSchedule(config).alphas == tuple(expected.alphas_cumprod.double().tolist())


BASE: dict[str, Any] = {"beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear", "clip_sample": False}
CHANGES: dict[str, Any] = {
    "beta_start": 0.001,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "trained_betas": [0.001] * 1000,
    "num_train_timesteps": 500,
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
    "steps_offset": 1,
    "set_alpha_to_one": False,
    "clip_sample": True,
    "clip_sample_range": 2.0,
}
"""Another value for each used key of a scheduler, except for keys that other tests cover."""

REFUSED = {"prediction_type": "unknown", "thresholding": True}
"""Values of those keys; test_checkpoint checks that they are refused by name."""


@pytest.mark.parametrize("key", sorted(key for key, how in SCHEDULER.items() if how.how == "used"))
def test_a_key_of_a_scheduler_that_is_used_changes_the_steps(key: str) -> None:
    if key in REFUSED:
        config = {**BASE, key: REFUSED[key]}
        with pytest.raises(WeightsError, match="thresholds" if key == "thresholding" else "predicts 'unknown'"):
            _ = (prediction_type(config, None), CheckpointSchedule(config).grid(5, None))
        return
    clipped = {**BASE, "clip_sample": key == "clip_sample_range"}
    plain, changed = CheckpointSchedule(clipped), CheckpointSchedule({**clipped, key: CHANGES[key]})
    assert plain.grid(5, None) != changed.grid(5, None)


@pytest.mark.parametrize("key", sorted(key for key, how in SCHEDULER.items() if how.how == "idle"))
def test_a_key_of_a_scheduler_that_is_idle_changes_nothing(key: str) -> None:
    """The steps are the same for any value."""
    plain = CheckpointSchedule(BASE)
    for value in (0.5, 7, True, "other"):
        changed = CheckpointSchedule({**BASE, key: value})
        assert (plain.grid(5, None), plain.alphas) == (changed.grid(5, None), changed.alphas)


def test_tables_name_what_they_are_of() -> None:
    assert all(key.why for table in TABLES.values() for key in table.values())
