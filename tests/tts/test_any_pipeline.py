"""Any pipeline of diffusers, asked through its own call; it draws what the families draw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import pytest
import tiny_flows
import tiny_pipelines
import torch
from checks_of_models import MODELS as CHECKS
from tiny_flows import FAMILIES
from torch import Tensor

from tts.errors import SettingError, TTSError
from tts.models.generic import AnyPipeline
from tts.models.pipeline_calls import together
from tts.noise import normal
from tts.registry import MODELS
from tts.samplers.base import Call, drive, follow

PROMPTS = ["a cat", "a dog in a red cube"]
ASKED: dict[str, dict[str, Any]] = {
    "stable-diffusion-3": {"even": False},
    "flux-dev": {"forwards": 1, "cell": 4},
    "lumina2": {},
    "z-image": {},
    "pixart-sigma": {"sampler": {"steps": 3, "noise": {"share": 0}}},
}
"""Families, and what a user must say of them."""


pytestmark = pytest.mark.usefixtures("one_thread")


def generic(name: str, folder: Path, **values: Any) -> AnyPipeline:
    family = FAMILIES[name]
    arguments = {key: value for key, value in family.asked.items() if "max" not in key}
    sampler = {"steps": 3, "noise": {"share": 0}}
    given = {"id": str(folder), "size": family.pixels, "precision": "fp32", "sampler": sampler, "arguments": arguments}
    made: Any = MODELS.make({"name": "diffusers", **given, **ASKED.get(name, {}), **values})[1]
    return made


@pytest.fixture(scope="module", params=ASKED)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def saved(name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_pipelines.save(FAMILIES[name].make(), tmp_path_factory.mktemp("any") / name)


def ends(model: Any, shape: tuple[int, ...], start: Tensor) -> Tensor:
    def answer(call: Call) -> Tensor:
        with torch.inference_mode():
            return model.denoise(call.x, torch.full((2,), call.level, dtype=torch.float64), PROMPTS)

    return drive(follow(model.sampler, start, [None] * 3), answer).x


@pytest.mark.slow
def test_it_draws_what_the_family_draws(name: str, saved: Path) -> None:
    family, row = FAMILIES[name], CHECKS["any-pipeline"]
    settings = generic(name, saved)
    settings.check()
    model: Any = settings.load()
    own = {"sampler": {"steps": 3, **family.settings.get("sampler", {"noise": {"share": 0}})}}
    given = {
        "name": family.name,
        "id": str(saved),
        "size": family.pixels,
        "precision": "fp32",
        **family.settings,
        **own,
    }
    other: Any = MODELS.make(given)[1].load()
    start = torch.stack([torch.from_numpy(normal(k, family.shape)) for k in (1, 2)])
    expected = ends(other, family.shape, start)
    found = family.unpacked(ends(model, model.shape, family.packed(start)), family.shape)
    size = float(expected.abs().max())
    assert (found / size).flatten().tolist() == row.near((expected / size).flatten().tolist())
    with torch.inference_mode():
        images = [each.decode(x).int() for each, x in ((model, family.packed(expected)), (other, expected))]
    assert (images[0] - images[1]).abs().max() <= 1
    assert model.passes == settings.passes == other.passes
    assert settings.identity()["weights"] == MODELS.make(given)[1].identity()["weights"]


def test_rows_at_several_levels_do_not_depend_on_one_another(name: str, saved: Path) -> None:
    model: Any = generic(name, saved).load()
    x = torch.stack([torch.from_numpy(normal(k, model.shape)) for k in range(3)])
    levels = torch.tensor([model.sampler.times[k] for k in (0, 1, 2)], dtype=torch.float64)
    prompts = [*PROMPTS, "a cat"]
    with torch.inference_mode():
        whole = model.denoise(x, levels, prompts)
        turned = model.denoise(x.flip(0), levels.flip(0), prompts[::-1]).flip(0)
        alone = [model.denoise(x[[k] * 3], levels[[k] * 3], [prompts[k]] * 3)[0] for k in range(3)]
    if name == "lumina2":  # it pads prompts to the longest of a batch, which the engine finds when it starts
        torch.testing.assert_close(torch.stack(alone), whole, rtol=0, atol=1e-5)
        return
    assert torch.equal(turned, whole)
    assert torch.equal(torch.stack(alone), whole)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"forwards": 2}, "forwards = 2: its pipeline takes 1 for a prediction; set that"),
        ({"even": False}, "even = False: its pipeline does otherwise; set even to True"),
        ({"cell": 8}, r"cell = 8: its pipeline shifts by 0\.\d+, not by"),
        ({"arguments": {"gidance": 3}}, "arguments: its pipeline cannot be called with them .*gidance"),
        ({"size": None}, "size: model diffusers does not know its images' size; set it"),
        ({"preview": "x"}, "preview: model diffusers decodes by its pipeline alone"),
    ],
)
def test_settings_that_say_otherwise_are_refused(
    values: dict[str, Any], message: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "flux-refused"
    if not folder.exists():
        tiny_pipelines.save(tiny_flows.flux(), folder)
    settings = generic("flux-dev", folder, **{"cell": 4, **values})
    with pytest.raises(SettingError, match=message):
        _ = settings.check(), settings.load()


def test_pipelines_that_cannot_be_used_say_why(tmp_path: Path) -> None:
    upscaler = tiny_pipelines.save(tiny_pipelines.dit(), tmp_path / "dit")
    with pytest.raises(SettingError, match="a DiTPipeline takes no prompt, latents, which is needed"):
        generic("flux-dev", upscaler, arguments={}).load()
    index = (upscaler / "model_index.json").read_text()
    (upscaler / "model_index.json").write_text(index.replace('"DiTPipeline"', '"os"'))
    with pytest.raises(TTSError, match=f"holds a os, which is no pipeline of diffusers {diffusers.__version__}"):
        generic("flux-dev", upscaler).check()
    (upscaler / "model_index.json").write_text(index.replace('["diffusers",', '["my_code",'))


def test_encodings_of_unlike_length_are_refused() -> None:
    with pytest.raises(SettingError, match="encoded to unlike lengths"):
        together([(torch.zeros(1, 3, 2),), (torch.zeros(1, 4, 2),)])
