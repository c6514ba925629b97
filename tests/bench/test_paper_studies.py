"""Studies that follow papers: each can be planned without weights, and costs what its first comment says."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from bench.run.forecast import Forecast, forecast
from bench.study.config import CONFIGS, RunConfig, load
from tts.models.checkpoint import INDEX, Checkpoint

BETAS = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "steps_offset": 1,
}
FLOW = {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000}
DYNAMIC = {"use_dynamic_shifting": True, "base_shift": 0.5, "max_shift": 1.15}
FLUX_VAE = {"block_out_channels": [128, 256, 512, 512], "latent_channels": 16}
PUBLISHED: dict[str, dict[str, dict[str, Any]]] = {
    "black-forest-labs/FLUX.1-dev": {
        "scheduler": {**FLOW, **DYNAMIC, "shift": 3.0, "base_image_seq_len": 256, "max_image_seq_len": 4096},
        "transformer": {"in_channels": 64, "guidance_embeds": True},
        "vae": FLUX_VAE,
    },
    "black-forest-labs/FLUX.1-schnell": {
        "scheduler": {**FLOW, "shift": 1.0, "use_dynamic_shifting": False},
        "transformer": {"in_channels": 64, "guidance_embeds": False},
        "vae": FLUX_VAE,
    },
    "stabilityai/stable-diffusion-3.5-medium": {
        "scheduler": {**FLOW, "shift": 3.0},
        "transformer": {"in_channels": 16, "sample_size": 128},
        "vae": FLUX_VAE,
    },
    "stable-diffusion-v1-5/stable-diffusion-v1-5": {
        "scheduler": {"_class_name": "PNDMScheduler", **BETAS, "set_alpha_to_one": False, "skip_prk_steps": True},
        "unet": {"in_channels": 4, "sample_size": 64},
        "vae": {"block_out_channels": [128, 256, 512, 512]},
    },
    "stabilityai/stable-diffusion-xl-base-1.0": {
        "scheduler": {"_class_name": "EulerDiscreteScheduler", **BETAS, "timestep_spacing": "leading"},
        "unet": {"in_channels": 4, "sample_size": 128},
        "vae": {"block_out_channels": [128, 256, 512, 512]},
    },
}
"""The parts of published checkpoints' configurations that decide the trajectory."""

TAGS = {"single_object": 80, "two_object": 99, "counting": 80, "colors": 94, "position": 100, "color_attr": 100}
"""Number of GenEval's prompts."""


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Lists of prompts of the published forms and lengths."""
    folder = tmp_path_factory.mktemp("prompts")
    drawbench, geneval = folder / "DrawBench_Prompts.csv", folder / "geneval_metadata.jsonl"
    with drawbench.open("w", newline="") as file:
        csv.writer(file).writerows(
            [["No.", "Prompts", "Category"], *([k, f"A thing of kind {k}.", "Colors"] for k in range(200))]
        )
    lines = [{"tag": tag, "prompt": f"a photo of {tag} {k}"} for tag, number in TAGS.items() for k in range(number)]
    geneval.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return {path.name: path for path in (drawbench, geneval)}


@pytest.fixture(autouse=True)
def published(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let these configurations stand for the hub; there are no weights."""

    def config(self: Checkpoint, name: str) -> dict[str, Any]:
        return {} if name == INDEX else PUBLISHED[self.id][name.split("/")[0]]

    monkeypatch.setattr(Checkpoint, "config", config)


def study(name: str, lists: dict[str, Path]) -> RunConfig:
    given: Any = load(name).problems.conditions
    return load(name, [f"problems.conditions.file={lists[given['file']]}"])


@pytest.mark.parametrize(
    ("name", "trials", "nfe"),
    [
        ("ma-flux", 200 * 14 * 3, {"naive": 30, "best_of_n": 2880, "zero_order_initial": 2850, "paths": 2828}),
        ("fk-sdxl", 553 * 8, {"naive": 200, "best_of_n": 1600, "fk": 1600}),
        ("rbf-flux-schnell", 280 * 4, {"naive": 10, "best_of_n": 500, "rbf": 500}),
        ("trs-drawbench", 200 * 4 * 2, {"best_of_n": 40000, "zero_order_initial": 40000, "trs": 40000}),
        ("trs-drawbench-lightning", 200 * 4 * 2, {"best_of_n": 1600, "zero_order_initial": 1600, "trs": 1600}),
        ("sd35-curves", 50 * 20, {"naive": 56, "best_of_n": 32 * 56, "fk": 16 * 56}),
    ],
)
def test_it_is_planned_without_weights(name: str, trials: int, nfe: dict[str, int], lists: dict[str, Path]) -> None:
    found: Forecast = forecast(study(name, lists), played=1)
    assert found.trials == trials
    for search, dearest in nfe.items():
        assert max(point.nfe for point in found.points if point.search == search) == dearest
    assert f"{trials:,} trials" in (CONFIGS / f"{name}.yaml").read_text()


@pytest.mark.parametrize("name", ["ma-flux", "fk-sdxl", "rbf-flux-schnell", "trs-drawbench", "sd35-curves"])
def test_its_head_says_whether_numbers_are_printed(name: str) -> None:
    head = (CONFIGS / f"{name}.yaml").read_text().split("model:")[0]
    assert "Printed by the paper" in head or "No paper prints numbers" in head
    told = {
        "ma-flux": ("5.79 / 0.71 / 0.97", "2,880, 2,850, 2,828"),
        "rbf-flux-schnell": (".726", ".879", ".925"),
        "fk-sdxl": (".87 1.05 1.14 1.20 1.31", ".564 .562 .626 .633 .641", ".564 .594 .623 .649 .652"),
    }
    assert all(number in head for number in told.get(name, ()))
