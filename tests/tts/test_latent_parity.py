"""Latent models draw what diffusers' own pipelines draw from the same noises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny_pipelines
import torch
from checks_of_models import MODELS as CHECKS
from diffusers import DDIMScheduler
from torch import Tensor

from tts.models.base import Model
from tts.models.latent import LatentSettings
from tts.noise import normal
from tts.plan import Condition
from tts.registry import MODELS
from tts.samplers.base import Call, drive, follow

SHAPE = (4, 8, 8)
CONDITIONS: dict[str, list[Condition]] = {
    "stable-diffusion": ["a tench", "cat"],
    "stable-diffusion-xl": ["a tench", "cat"],
    "dit": [0, 207],
}
SCHEDULES: dict[str, dict[str, Any]] = {
    f"{kind}-{spacing}": {"prediction_type": kind, "timestep_spacing": spacing}
    for kind in ("epsilon", "v_prediction")
    for spacing in ("leading", "trailing", "linspace")
} | {
    "sample-trailing": {"prediction_type": "sample", "timestep_spacing": "trailing"},
    "alpha-one": {"set_alpha_to_one": True},
}


class GivenNoise(DDIMScheduler):
    """DDIM's scheduler with noises that are given beforehand."""

    noises: list[Tensor]
    eta: float

    def step(self, model_output: Tensor, timestep: int, sample: Tensor, **_: Any) -> Any:
        noise = self.noises.pop(0)
        repeated = noise.repeat(len(sample) // len(noise), 1, 1, 1)  # DiT's pipeline steps both halves
        result = super().step(model_output, timestep, sample, eta=self.eta, variance_noise=repeated)
        self.last: Tensor = result.prev_sample[: len(noise)]
        return (result.prev_sample,) if _.get("return_dict") is False else result


def noises(steps: int, rows: int) -> list[Tensor]:
    """The initial noise and one for each step, ``[rows, *SHAPE]``."""
    return [
        torch.stack([torch.from_numpy(normal(10 * k + row, SHAPE)) for row in range(rows)]) for k in range(steps + 1)
    ]


def theirs(
    name: str, pipeline: Any, drawn: list[Tensor], eta: float, guidance: float, monkeypatch: pytest.MonkeyPatch
) -> Tensor:
    """The pipeline's last latents."""
    scheduler = GivenNoise.from_config(pipeline.scheduler.config)
    scheduler.noises, scheduler.eta = drawn[1:], eta
    pipeline.register_modules(scheduler=scheduler)
    pipeline.set_progress_bar_config(disable=True)
    options = {"num_inference_steps": len(drawn) - 1, "guidance_scale": guidance}
    if name == "dit":
        monkeypatch.setattr("diffusers.pipelines.dit.pipeline_dit.randn_tensor", lambda *_, **__: drawn[0])
        pipeline(CONDITIONS[name], output_type="pt", **options)
    else:
        pipeline(CONDITIONS[name], latents=drawn[0].clone(), eta=eta, output_type="latent", **options)
    return scheduler.last


def ours(model: Model, conditions: list[Condition], drawn: list[Tensor]) -> Tensor:
    """Our last latents; all rows are in one batch."""

    def answer(call: Call) -> Tensor:
        return model.denoise(call.x, torch.full((len(conditions),), call.level, dtype=torch.float64), conditions)

    with torch.inference_mode():
        return drive(follow(model.sampler, drawn[0], drawn[1:]), answer).x


def settings(name: str, folder: Path, **values: Any) -> LatentSettings:
    made: Any = MODELS.make({"name": name, "id": str(folder), **values})[1]
    return made


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", tiny_pipelines.PIPELINES)
def test_same_noises_same_latents(name: str, schedule: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline: Any = tiny_pipelines.PIPELINES[name](**SCHEDULES[schedule])
    model = settings(name, tiny_pipelines.save(pipeline, tmp_path / "it"), steps=10, guidance=4).load()
    drawn = noises(10, 2)
    expected = theirs(name, pipeline, list(drawn), 1.0, 4.0, monkeypatch)
    found = ours(model, CONDITIONS[name], drawn)
    assert float((found - expected).abs().max() / max(1, float(expected.abs().max()))) == CHECKS["latents"].near(0)


@pytest.mark.parametrize("name", tiny_pipelines.PIPELINES)
def test_same_latents_where_the_schedule_begins_without_signal(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This includes eta = 1, where diffusers' own step takes the root of a number that rounds below 0."""
    schedule = {"prediction_type": "v_prediction", "timestep_spacing": "trailing", "rescale_betas_zero_snr": True}
    pipeline: Any = tiny_pipelines.PIPELINES[name](**schedule)
    folder, drawn = tiny_pipelines.save(pipeline, tmp_path / "it"), noises(10, 2)
    expected = theirs(name, pipeline, list(drawn), 0.9, 4.0, monkeypatch)
    found = ours(settings(name, folder, steps=10, guidance=4, eta=0.9).load(), CONDITIONS[name], drawn)
    assert (found - expected).abs().max() < 1e-4 * max(1, float(expected.abs().max()))
    ancestral = ours(settings(name, folder, steps=10, guidance=4).load(), CONDITIONS[name], drawn)
    assert torch.isfinite(ancestral).all()


@pytest.mark.parametrize(("eta", "guidance", "steps"), [(0.0, 4.0, 10), (0.5, 1.0, 7), (1.0, 1.0, 3)])
@pytest.mark.parametrize("name", tiny_pipelines.PIPELINES)
def test_same_latents_with_other_settings(
    name: str, eta: float, guidance: float, steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other settings are less noise, no guidance, and steps that do not divide the schedule."""
    pipeline: Any = tiny_pipelines.PIPELINES[name]()
    folder = tiny_pipelines.save(pipeline, tmp_path / "it")
    model = settings(name, folder, steps=steps, guidance=guidance, eta=eta).load()
    drawn = noises(steps, 2)
    expected = theirs(name, pipeline, list(drawn), eta, guidance, monkeypatch)
    found = ours(model, CONDITIONS[name], [drawn[0], *[noise if eta else None for noise in drawn[1:]]])
    assert (found - expected).abs().max() < 1e-4 * max(1, float(expected.abs().max()))
