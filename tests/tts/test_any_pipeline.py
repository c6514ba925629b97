"""Any pipeline of diffusers, asked through its own call, draws what the families draw."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import wraps
from pathlib import Path
from typing import Any

import diffusers
import pytest
import tiny_flux
import tiny_pipelines
import torch
from checks_of_models import MODELS as CHECKS
from tiny_flows import FAMILIES
from torch import Tensor

from tts.errors import SettingError, TTSError, WeightsError
from tts.models.encoding import encode_lacking, lacking, prompts_from, unstored
from tts.models.generic import AnyPipeline
from tts.models.pipeline_prompts import flattened, restored, together
from tts.models.prompt_store import PromptStore
from tts.noise import normal
from tts.registry import MODELS
from tts.samplers.base import Call, drive, follow
from tts.settings import canonical

PROMPTS = ["a cat", "a dog in a red cube"]
CPU = {"device": "cpu", "threads": 1}
ASKED: dict[str, dict[str, Any]] = {
    "stable-diffusion-3": {"even": False},
    "flux-dev": {"forwards": 1, "cell": 4},
    "lumina2": {},
    "z-image": {},
    "pixart-sigma": {"sampler": {"steps": 3, "noise": {"share": 0}}},
}
"""Families, and the settings that a user must give for them."""


pytestmark = pytest.mark.usefixtures("one_thread")


def set_cells(patch: pytest.MonkeyPatch, kind: Any, pixels: int) -> None:
    """Let a pipeline's class assume this many pixels for a cell of its latents."""
    real = kind.__init__

    @wraps(real)
    def made(self: Any, *args: Any, **parts: Any) -> None:
        real(self, *args, **parts)
        self.vae_scale_factor = pixels

    patch.setattr(kind, "__init__", made)


@pytest.fixture(scope="module", autouse=True)
def _small_cells_of_lumina2() -> Iterator[None]:
    """The pipeline assumes 8 pixels for a cell, but a cell of the tiny autoencoder has 2."""
    with pytest.MonkeyPatch.context() as patch:
        set_cells(patch, diffusers.Lumina2Pipeline, 2)
        yield


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
    calls, x = model.denoiser.network, torch.stack([torch.from_numpy(normal(k, model.shape)) for k in range(3)])
    levels = torch.tensor([model.sampler.times[k] for k in (0, 1, 2)], dtype=torch.float64)
    prompts = [*PROMPTS, "a cat"]
    with torch.inference_mode():
        whole = model.denoise(x, levels, prompts)
        turned = model.denoise(x.flip(0), levels.flip(0), prompts[::-1]).flip(0)
        alone = [model.denoise(x[[k] * 3], levels[[k] * 3], [prompts[k]] * 3)[0] for k in range(3)]
    assert not calls._told  # noting a time waits for a GPU, and notes would pile up
    if name == "lumina2":  # it pads prompts to the longest of a batch, which the engine's check at its start finds
        torch.testing.assert_close(torch.stack(alone), whole, rtol=0, atol=1e-5)
        return
    assert torch.equal(turned, whole)
    assert torch.equal(torch.stack(alone), whole)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"arguments": {"guidance_scales": 3}}, r"it takes no guidance_scales\); did you mean guidance_scale\?"),
        ({"forwards": 2}, "forwards = 2: its pipeline takes 1 for a prediction; set that"),
        ({"even": False}, "even = False: its pipeline does not; set even to True"),
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
        tiny_pipelines.save(tiny_flux.flux(), folder)
    settings = generic("flux-dev", folder, **{"cell": 4, **values})
    with pytest.raises(SettingError, match=message):
        _ = settings.check(), settings.load()


def test_a_pipeline_that_draws_another_size_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = generic("flux-dev", tiny_pipelines.save(tiny_flux.flux(), tmp_path / "flux"), cell=4, size=24)
    settings.load()
    set_cells(monkeypatch, diffusers.FluxPipeline, 8)
    with pytest.raises(SettingError, match="size = 24: its pipeline draws 4x4 pixels for it; set size to multiples"):
        settings.load()


def test_pipelines_that_cannot_be_used_say_why(tmp_path: Path) -> None:
    upscaler = tiny_pipelines.save(tiny_pipelines.dit(), tmp_path / "dit")
    with pytest.raises(SettingError, match="a DiTPipeline takes no prompt, latents, which is needed"):
        generic("flux-dev", upscaler, arguments={}).load()
    index = (upscaler / "model_index.json").read_text()
    (upscaler / "model_index.json").write_text(index.replace('"DiTPipeline"', '"os"'))
    with pytest.raises(TTSError, match=f"holds a os, which is no pipeline of diffusers {diffusers.__version__}"):
        generic("flux-dev", upscaler).check()
    (upscaler / "model_index.json").write_text(index.replace('["diffusers",', '["my_code",'))


STORED: dict[str, dict[str, Any]] = {
    **ASKED,
    "flux-dev": {"forwards": 2, "cell": 4, "arguments": {"true_cfg_scale": 3.0, "negative_prompt": "dark"}},
    "auraflow": {"even": False},
}
"""Families for tests with a store of prompts: with one or two calls of encode_prompt, with lists and with masks."""


def answers(model: Any) -> Tensor:
    x = torch.stack([torch.from_numpy(normal(k, model.shape)) for k in range(2)])
    levels = torch.tensor([model.sampler.times[k] for k in (0, 1)], dtype=torch.float64)
    with torch.inference_mode():
        found = [model.denoise(x, levels, PROMPTS), model.decode(x).float()]
    return torch.cat([each.flatten() for each in found])


@pytest.mark.slow
@pytest.mark.parametrize("family", STORED)
def test_prompts_of_a_store_are_those_of_an_engine(family: str, tmp_path: Path) -> None:
    folder = tiny_pipelines.save(FAMILIES[family].make(), tmp_path / family)
    settings = generic(family, folder, **{**STORED[family], "precision": "bf16"})
    store = PromptStore(tmp_path / "store", CPU)
    assert encode_lacking(settings, PROMPTS, store, "cpu") == 3
    assert lacking(settings, PROMPTS, store) == 0
    assert unstored(settings, store) == []
    with prompts_from(PromptStore(tmp_path / "store", CPU)):
        pipeline, model = settings.placed("cpu"), settings.load()
    assert settings.encoders
    assert all(weight.is_meta for part in settings.encoders for weight in getattr(pipeline, part).parameters())
    assert torch.equal(answers(model), answers(settings.load()))


def test_of_a_key_is_all_that_decides_an_encoding(tmp_path: Path) -> None:
    folder = tiny_pipelines.save(tiny_flux.flux(), tmp_path / "flux")
    made = [
        generic("flux-dev", folder, **{"cell": 4, **values}).encoder_identity()
        for values in ({}, {"precision": "bf16"}, {"arguments": {"max_sequence_length": 128}}, {"size": 32})
    ]
    assert len(set(map(canonical, made))) == len(made)
    assert generic("flux-dev", folder, cell=4, sampler={"steps": 7}).encoder_identity() == made[0]


def test_where_more_than_text_encoders_is_needed_it_is_said_and_engines_encode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny_pipelines.save(tiny_flux.flux(), tmp_path / "flux")
    settings, store = generic("flux-dev", folder, cell=4), PromptStore(tmp_path / "store", CPU)
    expected = answers(settings.load())
    real = diffusers.FluxPipeline.encode_prompt

    def mixed(self: Any, *args: Any, **kwargs: Any) -> Any:
        tokens, *rest = real(self, *args, **kwargs)
        return (tokens + 0 * next(self.transformer.parameters()).flatten()[0].item(), *rest)

    monkeypatch.setattr(diffusers.FluxPipeline, "encode_prompt", mixed)
    assert encode_lacking(settings, PROMPTS, store, "cpu") == 3
    [note] = unstored(settings, store)
    assert note.startswith("model diffusers: every engine loads the text encoders, as prompts of ")
    assert "cannot be encoded without the rest of its pipeline (" in note
    with prompts_from(store):
        assert torch.equal(answers(settings.load()), expected)
    assert lacking(settings, PROMPTS, store) == 0  # the refusal is stored, so encoding is not tried again


def test_what_no_tokenizer_reads_of_a_prompt_is_said(tmp_path: Path) -> None:
    """The tokenizer that reads most decides, as in the family; without another one, CLIP's own length does."""
    folder = tiny_pipelines.save(tiny_flux.flux(), tmp_path / "flux")
    whole, half = ({"arguments": values} for values in ({}, {"max_sequence_length": 128}))
    family: Any = MODELS.make({"name": "flux", "id": str(folder), "size": 16})[1]
    prompts = ["a cat", "cube " * 200]
    assert generic("flux-dev", folder, **whole).notes(prompts) == family.notes(prompts) != []
    [note] = generic("flux-dev", folder, **half).notes(["a cat", "b" * 126, "b" * 130])
    assert note.endswith("is longer than the 127 tokens that are read; cut: 'bbbb'")
    plain = tiny_pipelines.save(tiny_pipelines.stable_diffusion(), tmp_path / "sd")
    found = generic("flux-dev", plain, arguments={}).notes(["a cat", "b" * 100])
    expected: Any = MODELS.make({"name": "stable-diffusion", "id": str(plain)})[1]
    assert found == expected.notes(["a cat", "b" * 100]) != []
    shutil.rmtree(folder / "tokenizer_2")
    with pytest.raises(WeightsError, match=r"id .*: its tokenizer_2 cannot be read \(.*\); fetch it anew"):
        generic("flux-dev", folder).notes(prompts)


def test_nested_encodings_are_kept_as_they_were() -> None:
    a, b, c = torch.ones(1, 2), torch.zeros(3, dtype=torch.bool), torch.tensor(2.0, dtype=torch.bfloat16)
    results = [(a, None, [b, [c]]), [None, a], b]
    found = restored(flattened(results))
    assert repr(found) == repr(results)
    assert found[0][2][1][0].dtype == torch.bfloat16
    with pytest.raises(SettingError, match="returns a str, which is not an encoded prompt"):
        flattened([(a, "words")])
    with pytest.raises(SettingError, match="returns a tensor without values"):
        flattened([torch.empty(1, device="meta")])
    for name in ("", "t1", "t1_1", "x2_0", "t2_-1", "t99999_0", "l1_0..l1_0", "__class__"):
        with pytest.raises(WeightsError, match=r"is not a tensor's position; delete the folder of engines\.prompts"):
            restored({name: a})
    with pytest.raises(WeightsError, match="have different forms"):
        restored({"l2_0": a, "l1_0": a})


def test_encodings_of_unlike_length_are_refused() -> None:
    with pytest.raises(SettingError, match="encodings of different lengths"):
        together([(torch.zeros(1, 3, 2),), (torch.zeros(1, 4, 2),)])


def test_encodings_without_a_dimension_of_prompts_are_those_of_every_row() -> None:
    ids = torch.arange(6.0).view(3, 2)
    assert together([(ids,), (ids.clone(),)])[0] is ids
    with pytest.raises(SettingError, match=r"cannot be separated; set engines\.batch to 1"):
        together([(ids,), (ids + 1,)])
