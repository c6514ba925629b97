"""CogView4 through ``name: diffusers``: its own shift, and time steps that are told without it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import diffusers
import pytest
import tiny_pipelines
import torch
from checks_of_models import MODELS as CHECKS
from tiny_cogview4 import cogview4
from torch import Tensor

from tts.errors import SettingError, WeightsError
from tts.models.flow_schedule import CogView4Schedule
from tts.models.generic import AnyPipeline
from tts.noise import normal
from tts.quiet import quiet
from tts.registry import MODELS
from tts.samplers.base import Call, drive, follow

SHAPE = (16, 8, 8)
PROMPTS = ["a cat", "a dog"]
TOLD = {"guidance_scale": 3.0, "negative_prompt": "dark"}

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pipeline, saved once."""
    return tiny_pipelines.save(cogview4(), tmp_path_factory.mktemp("cogview4") / "it")


def settings(folder: Path, steps: int = 4, **values: Any) -> AnyPipeline:
    sampler = {"steps": steps, "noise": {"share": 0}}
    given = {"id": str(folder), "size": 16, "cell": 4, "precision": "fp32", "sampler": sampler, "arguments": TOLD}
    made: Any = MODELS.make({"name": "diffusers", **given, **values})[1]
    return made


def drawn() -> Tensor:
    return torch.stack([torch.from_numpy(normal(row, SHAPE)) for row in (1, 2)])


@pytest.mark.parametrize("steps", [1, 4, 7])
def test_without_noise_the_latents_are_the_pipelines(steps: int, folder: Path) -> None:
    given, row = settings(folder, steps), CHECKS["cogview4"]
    given.check()
    model: Any = given.load()
    pipeline: Any = diffusers.CogView4Pipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    asked = {"height": 16, "width": 16, "num_inference_steps": steps, "output_type": "latent", "guidance_scale": 3.0}
    with quiet():
        expected = pipeline(PROMPTS, ["dark"] * 2, latents=drawn(), **asked).images
    assert model.sampler.times == tuple(pipeline.scheduler.sigmas.double().tolist())[:-1]

    @torch.inference_mode()
    def answer(call: Call) -> Tensor:
        return model.denoise(call.x, torch.full((2,), call.level, dtype=torch.float64), PROMPTS)

    found = drive(follow(model.sampler, drawn(), [None] * steps), answer).x
    size = float(expected.abs().max())
    sys.stdout.write(f"{steps} steps: largest difference {float((found - expected).abs().max()) / size:.1e}\n")
    assert size > 0.3
    assert (found / size).flatten().tolist() == row.near((expected / size).flatten().tolist())
    assert model.passes == 2


@pytest.mark.parametrize(
    "changes", [{}, {"time_shift_type": "exponential"}, {"use_dynamic_shifting": False, "shift": 3.0}]
)
def test_the_network_is_told_levels_without_their_shift(changes: dict[str, Any]) -> None:
    """Whole time steps, at the levels of any number of steps."""
    made = {name: value for name, value in cogview4().scheduler.config.items() if name[0] != "_"}
    config = {**made, "_class_name": "FlowMatchEulerDiscreteScheduler", **changes}
    schedule = CogView4Schedule(config, True, 64)
    for steps in (1, 2, 5, 50):
        levels = torch.tensor(schedule.levels(steps)[:-1], dtype=torch.float64)
        told = 1000 * schedule.told(levels)
        whole = torch.linspace(1000, 1, steps, dtype=torch.float64).floor()
        torch.testing.assert_close(told, whole, rtol=0, atol=2e-2)
        assert schedule.unshifted(steps) == [float(time) / 1000 for time in whole]


def test_what_cannot_be_undone_or_is_set_otherwise_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"cell = 16: its pipeline shifts by 0\.\d+, not by"):
        settings(folder, cell=16).load()
    with pytest.raises(SettingError, match=r"different lengths, which cannot be stacked; set engines\.batch to 1"):
        settings(folder).load().denoise(drawn(), torch.ones(2, dtype=torch.float64), ["a cat", "a cat " * 9])
    config = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift_terminal": 0.02}
    with pytest.raises(WeightsError, match="changes levels by shift_terminal, which is not supported for CogView4"):
        CogView4Schedule(config, True, 64).levels(3)


def test_time_steps_beside_levels_of_another_pipeline_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tts.models.generic.OWN_LEVELS", {})
    with pytest.raises(SettingError, match="its pipeline has time steps of its own beside its levels"):
        settings(folder).load()


def test_prompts_of_one_length_share_a_batch(folder: Path) -> None:
    """Rows of two levels; and rows of other lengths alone."""
    model: Any = settings(folder).load()
    levels = torch.tensor(model.sampler.times[1:3], dtype=torch.float64)
    with torch.inference_mode():
        both = model.denoise(drawn(), levels, PROMPTS)
        turned = model.denoise(drawn().flip(0), levels.flip(0), PROMPTS[::-1]).flip(0)
        longer = model.denoise(drawn()[:1], levels[:1], ["a cat " * 9])
    assert torch.equal(both, turned)
    assert not torch.equal(longer, both[:1])
