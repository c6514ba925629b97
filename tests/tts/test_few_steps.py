"""Few-step models with the guide's settings, against their own pipelines with the same noises."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import tiny_pipelines
import torch
import yaml
from checks_of_models import MODELS as CHECKS
from diffusers import (
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LatentConsistencyModelPipeline,
    LCMScheduler,
)
from torch import Tensor

from tts.errors import SettingError
from tts.noise import normal
from tts.registry import MODELS
from tts.samplers.base import Call, drive, follow

SHAPE = (4, 8, 8)
PROMPTS = ["a cat", "a dog"]
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
TRAILING = {**BETAS, "timestep_spacing": "trailing"}


class Preset(NamedTuple):
    """A line of the guide, its pipeline's scheduler, and the guidance scale for the pipeline."""

    line: dict[str, Any]
    make: Callable[[], Any]
    scheduler: Callable[[], Any]
    asked: float


def consistency() -> LatentConsistencyModelPipeline:
    """A latent consistency model, whose UNet is told the guidance scale."""
    torch.manual_seed(0)
    pipeline = tiny_pipelines.stable_diffusion()
    pipeline.register_modules(unet=tiny_pipelines.unet(time_cond_proj_dim=16))
    parts = {key: pipeline.components[key] for key in ("vae", "text_encoder", "tokenizer", "unet", "safety_checker")}
    return LatentConsistencyModelPipeline(
        **parts, scheduler=LCMScheduler(**BETAS), feature_extractor=None, requires_safety_checker=False
    )


SD, XL = tiny_pipelines.stable_diffusion, tiny_pipelines.stable_diffusion_xl
ANCESTRAL, ODE = partial(EulerAncestralDiscreteScheduler, **TRAILING), partial(EulerDiscreteScheduler, **TRAILING)
PAGE = Path(__file__).parents[2] / "docs" / "guides" / "text-to-image.md"
LINES = {
    name: yaml.safe_load(line)["model"]
    for name, line in re.findall(r"^\| ([^|]+) \| `(model: \{.*?\})`", PAGE.read_text(), re.MULTILINE)
}
"""The guide's few-step models, by their names there."""
PRESETS = {
    "sd-turbo": Preset(LINES["SD-Turbo"], SD, ANCESTRAL, 0),
    "sdxl-turbo": Preset(LINES["SDXL-Turbo"], XL, ANCESTRAL, 0),
    "lightning": Preset(LINES["SDXL-Lightning"], XL, ODE, 0),
    "lcm": Preset(LINES["LCM"], consistency, partial(LCMScheduler, **BETAS), 8.5),
}


def drawn(seed: int) -> Tensor:
    return torch.stack([torch.from_numpy(normal(seed + row, SHAPE)) for row in (0, 1)])


def theirs(preset: Preset, steps: int, noises: list[Tensor], patch: pytest.MonkeyPatch) -> Tensor:
    """The pipeline's last latents."""
    pipeline, left = preset.make(), iter(noises[1:])
    pipeline.register_modules(scheduler=preset.scheduler())
    pipeline.set_progress_bar_config(disable=True)
    module = sys.modules[type(pipeline.scheduler).__module__]
    patch.setattr(module, "randn_tensor", lambda *_, **__: next(left))
    options = {"num_inference_steps": steps, "guidance_scale": preset.asked, "output_type": "latent"}
    found: Tensor = pipeline(PROMPTS, latents=noises[0].clone(), **options).images
    return found


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of diffusers' schedulers
@pytest.mark.parametrize("steps", [1, 2, 4])
@pytest.mark.parametrize("name", PRESETS)
def test_presets_draw_what_their_pipelines_draw(
    name: str, steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preset, row = PRESETS[name], CHECKS["few-steps"]
    pipeline = preset.make()
    pipeline.register_modules(scheduler=preset.scheduler())
    folder = tiny_pipelines.save(pipeline, tmp_path / name)
    line = {key: value for key, value in preset.line.items() if key != "file"}
    sampler = {**line["sampler"], "steps": steps}
    given = {**line, "id": str(folder), "precision": "fp32", "sampler": sampler}
    settings: Any = MODELS.make(given)[1]
    settings.check()
    model = settings.load()
    assert (model.passes, settings.plan().nfe()) == (1, steps)
    noises = [drawn(10 * k) for k in range(steps + 1)]
    injected = [noise if injects else None for noise, injects in zip(noises[1:], settings.plan().injects, strict=True)]

    def answer(call: Call) -> Tensor:
        with torch.inference_mode():
            return model.denoise(call.x, torch.full((2,), call.level, dtype=torch.float64), PROMPTS)

    found = drive(follow(model.sampler, noises[0], injected), answer).x
    expected = theirs(preset, steps, noises, monkeypatch)
    size = float(expected.abs().max())
    assert (found / size).flatten().tolist() == row.near((expected / size).flatten().tolist())


def test_consistency_models_have_fifty_steps(tmp_path: Path) -> None:
    folder = tiny_pipelines.save(SD(), tmp_path / "it")
    with pytest.raises(SettingError, match="steps = 51: consistency models are distilled on 50"):
        MODELS.make(
            {"name": "stable-diffusion", "id": str(folder), "sampler": {**PRESETS["lcm"].line["sampler"], "steps": 51}}
        )[1].plan()
