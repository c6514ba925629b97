"""Families of flows draw what diffusers' own pipelines draw; a row does not depend on the rows beside it."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import diffusers
import pytest
import tiny_pipelines
import torch
from checks_of_models import MODELS as CHECKS
from tiny_flows import FAMILIES, Family
from torch import Tensor

from tts.errors import TTSError, WeightsError
from tts.media import quantised_as_diffusers
from tts.models.base import Model, ModelSettings
from tts.models.encoding import encode_lacking, prompts_from
from tts.models.flow import FlowSettings
from tts.models.prompt_store import PromptStore
from tts.noise import normal
from tts.quiet import quiet
from tts.registry import MODELS
from tts.samplers.base import Call, drive, follow
from tts.testing import ModelConformance

LONG = " ".join(["red cube"] * 30)
PROMPTS = ["a cat", LONG]
STEPS = 4


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module", params=FAMILIES)
def name(request: pytest.FixtureRequest) -> str:
    """Every family."""
    return str(request.param)


@pytest.fixture(scope="module")
def saved(name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The family's pipeline, saved once."""
    return tiny_pipelines.save(FAMILIES[name].make(), tmp_path_factory.mktemp("flow") / name)


def settings(family: Family, folder: Path, share: float = 0.0, **values: Any) -> FlowSettings:
    given = {"name": family.name, "id": str(folder), "size": family.pixels, "precision": "fp32", **family.settings}
    sampler = family.settings.get("sampler", {"noise": {"share": share}})
    made: Any = MODELS.make({**given, "sampler": {"steps": STEPS, **sampler}, **values})[1]
    return made


@pytest.fixture(scope="module")
def model(name: str, saved: Path) -> Model:
    """The family's model without injected noise, checked and loaded once."""
    found = settings(FAMILIES[name], saved)
    found.check()
    return found.load()


def test_prompts_of_a_store_are_those_of_its_text_encoders(
    name: str, saved: Path, model: Model, tmp_path: Path
) -> None:
    given, store = settings(FAMILIES[name], saved), PromptStore(tmp_path, {"device": "cpu"})
    assert encode_lacking(given, PROMPTS, store, "cpu") == 3
    with prompts_from(store):
        stored: Any = given.load()
    network: Any = model
    network = network.denoiser.network
    for prompt in (None, *PROMPTS):
        theirs, ours = network.encode(prompt), stored.denoiser.network.encode(prompt)
        assert theirs.keys() == ours.keys()
        assert all(torch.equal(theirs[key], ours[key]) for key in ours)
    x = drawn(model.shape, range(2))
    assert torch.equal(denoised(stored, x, [0.7, 0.7], PROMPTS), denoised(model, x, [0.7, 0.7], PROMPTS))


def drawn(shape: tuple[int, ...], rows: Sequence[int]) -> Tensor:
    return torch.stack([torch.from_numpy(normal(row, shape)) for row in rows])


@torch.inference_mode()
def denoised(model: Model, x: Tensor, levels: Sequence[float], prompts: Sequence[str]) -> Tensor:
    return model.denoise(x, torch.tensor(levels, dtype=torch.float64), prompts)


def theirs(
    family: Family,
    pipeline: Any,
    start: Tensor,
    noises: Sequence[Tensor | None],
    patch: pytest.MonkeyPatch,
    output_type: str = "latent",
) -> Tensor:
    """The pipeline's last latents."""
    scheduler = family.scheduler({key: value for key, value in pipeline.scheduler.config.items() if key[0] != "_"})
    step, ends = scheduler.step, []

    def watched(*args: Any, **options: Any) -> Any:
        found = step(*args, **options)
        ends.append(found[-1] if family.name == "sana-sprint" else found[0])
        return found

    scheduler.step = watched
    left = iter([noise for noise in noises if noise is not None])
    if (module := sys.modules[type(scheduler).__module__]) and hasattr(module, "randn_tensor"):
        patch.setattr(module, "randn_tensor", lambda *_, **__: next(left, start))
    pipeline.register_modules(scheduler=scheduler)
    pipeline.set_progress_bar_config(disable=True)
    options = {
        "num_inference_steps": STEPS,
        "height": family.pixels,
        "width": family.pixels,
        "output_type": output_type,
    }
    with quiet():
        pipeline(prompt=[*PROMPTS], latents=family.packed(start), **options, **family.asked)
    return family.unpacked(ends[-1].float(), family.shape)


def test_without_noise_the_latents_are_the_pipelines(name: str, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """A consistency model is compared with its own noise instead."""
    family, row = FAMILIES[name], CHECKS["flow-families"]
    start = drawn(family.shape, [1, 2])
    injects = model.sampler.plan.injects
    noises = [drawn(family.shape, [10 + k, 20 + k]) if each else None for k, each in enumerate(injects)]
    expected = theirs(family, family.make(), start, noises, monkeypatch)

    def answer(call: Call) -> Tensor:
        return denoised(model, call.x, [call.level] * 2, PROMPTS)

    found = drive(follow(model.sampler, start, noises), answer).x
    size = float(expected.abs().max())
    sys.stdout.write(f"{name}: largest difference {float((found - expected).abs().max()) / size:.1e} of {size:.2g}\n")
    assert size > 0.3
    assert (found / size).flatten().tolist() == row.near((expected / size).flatten().tolist())


def test_a_row_does_not_depend_on_the_rows_beside_it(name: str, model: Model) -> None:
    """Prompts have 2 and 60 words, levels are at both ends; rows run in another order and alone."""
    family = FAMILIES[name]
    levels = [model.sampler.times[0], model.sampler.times[-1]]
    x = drawn(family.shape, range(4))
    told, prompts = [levels[0], levels[1], levels[1], levels[0]], [*PROMPTS, "a dog", LONG]
    together = denoised(model, x, told, prompts)
    backwards = denoised(model, x.flip(0), told[::-1], prompts[::-1]).flip(0)
    assert torch.equal(together, backwards)
    for row in range(4):
        alone = denoised(model, x[[row] * 4], [told[row]] * 4, [prompts[row]] * 4)
        assert torch.equal(alone[0], together[row])


def test_prompt_and_noise_decide_the_image(name: str, model: Model) -> None:
    family = FAMILIES[name]
    level = [model.sampler.times[1]] * 3
    x = drawn(family.shape, [1, 2, 1])
    images = model.decode(denoised(model, x, level, ["a cat", "a cat", LONG]))
    assert images.shape == (3, 3, family.pixels, family.pixels)
    assert not torch.equal(images[0], images[1])
    assert not torch.equal(images[0], images[2])


class TestFlows(ModelConformance):
    """Flows keep to the rules of every model; diffusers reads their levels, so plans need torch."""

    needs_torch = True

    @pytest.fixture(scope="class", params=["flux-schnell", "lumina2", "z-image"])
    @classmethod
    def model(cls, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ModelSettings:
        family = FAMILIES[request.param]
        folder = tiny_pipelines.save(family.make(), tmp_path_factory.mktemp("flow") / "it")
        return settings(family, folder, share=0.7)


def test_images_are_decoded_as_the_pipelines_do(name: str, saved: Path, model: Model) -> None:
    """Both decode the same last latents to 8 bits."""
    family = FAMILIES[name]
    pipeline: Any = getattr(diffusers, settings(family, saved).PIPELINE).from_pretrained(saved)
    kept: list[Tensor] = []
    decode = pipeline.vae.decode

    def watched(latents: Tensor, *args: Any, **options: Any) -> Any:
        found = decode(latents, *args, **options)
        kept.append(found[0] if isinstance(found, tuple) else found.sample)
        return found

    pipeline.vae.decode = watched
    start = drawn(family.shape, [1, 2])
    ends = theirs(family, pipeline, start, [start] * STEPS, pytest.MonkeyPatch(), output_type="np")
    expected = kept[0][:, :, 0] if kept[0].ndim == 5 else kept[0]
    with torch.inference_mode():
        found = model.decode(ends)
    assert torch.equal(found, quantised_as_diffusers(expected))


def test_identity_is_of_every_part_and_tokenizer(name: str, saved: Path) -> None:
    found = settings(FAMILIES[name], saved).identity()
    index = json.loads((saved / "model_index.json").read_text())
    parts = {part for part, kind in index.items() if isinstance(kind, list) and kind[0]} - {"scheduler"}
    assert {file.partition("/")[0] for file in found["weights"]} == parts
    assert {str(file.relative_to(saved)) for file in saved.glob("tokenizer*/*")} <= found["weights"].keys()
    assert found["schedule"]
    assert "id" not in found


def test_bad_settings_are_named(tmp_path: Path) -> None:
    """Errors: another family, an impossible size, guidance of a distilled model, a preview for other latents."""
    flux, family = FAMILIES["flux-schnell"], FAMILIES["stable-diffusion-3"]
    folder = tiny_pipelines.save(flux.make(), tmp_path / "flux")
    tiny = tiny_pipelines.save_tiny_autoencoder(tmp_path / "tiny")
    aura = str(tiny_pipelines.save(FAMILIES["auraflow"].make(), tmp_path / "aura"))
    bad: list[tuple[Family, dict[str, Any], str]] = [
        (family, {}, "holds a FluxPipeline, not a StableDiffusion3Pipeline; set another model"),
        (flux, {"size": [16, 18]}, "size.* multiple of 8"),
        (flux, {"guidance": 3.5}, "guidance = 3.5: .*was distilled to need none; leave it out"),
        (flux, {"negative_prompt": "dark"}, "negative_prompt: without classifier-free guidance it changes nothing"),
        (flux, {"preview": str(tiny)}, "decodes latents of 4 channels, but this model's have 16"),
        (flux, {"id": str(tmp_path / "no")}, f"^id {tmp_path}/no: no such folder, and no name of a repository"),
        (FAMILIES["auraflow"], {"id": aura, "size": [16, 48]}, "size: .* has places for at most 32x32 pixels"),
    ]
    for asked, values, message in bad:
        with pytest.raises(TTSError, match=message):
            settings(asked, folder, **values).check()
    shutil.rmtree(folder / "text_encoder_2")
    with pytest.raises(WeightsError, match="text_encoder_2 has no safetensors weights"):
        settings(flux, folder).check()
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "text_encoder_2": [None, None]}))
    with pytest.raises(WeightsError, match="has no text_encoder_2, which must be a T5EncoderModel; set an id that has"):
        settings(flux, folder).check()


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_auraflows_autoencoder_overflows_in_float16(precision: Any, tmp_path: Path) -> None:
    """It then computes in float32 if the checkpoint asks for it, like SDXL's."""
    family = FAMILIES["auraflow"]
    folder = tiny_pipelines.save(family.make(), tmp_path / "it")
    found = settings(family, folder, precision=precision).pipeline()
    assert (found.vae.dtype == torch.float32) == (precision == "fp16")
    assert found.transformer.dtype != torch.float32


def test_stable_diffusion_3_may_lack_t5(tmp_path: Path) -> None:
    family = FAMILIES["stable-diffusion-3"]
    pipeline = family.make()
    pipeline.register_modules(text_encoder_3=None, tokenizer_3=None)
    found = settings(family, tiny_pipelines.save(pipeline, tmp_path / "it"))
    found.check()
    model = found.load()
    assert torch.isfinite(denoised(model, drawn(family.shape, [1]), [0.5], ["a cat"])).all()
    assert found.notes(["a very very long dog"]) != []


LIMITS = {
    "auraflow": 255,
    "flux": 511,
    "flux2": 297,
    "flux2-klein": 495,
    "lumina2": 92,
    "pixart-sigma": 299,
    "qwen-image": 512,
    "sana": 298,
    "sana-sprint": 298,
    "stable-diffusion-3": 255,
    "z-image": 495,
}
"""Tokens of a prompt that are read, without those written before it; a letter is a token."""


def test_what_is_cut_of_a_prompt_is_said_by_its_own_tokenizer(name: str, saved: Path, model: Model) -> None:
    """Changing the first token that counts as cut changes no encoding; changing the one before it does."""
    given, limit = settings(FAMILIES[name], saved), LIMITS[FAMILIES[name].name]
    [note] = given.notes(["a cat", "cube " * 200])
    assert f"is longer than the {limit} tokens that are read; cut: '" in note
    if name == "qwen-image":  # its pipeline assumes that the template before a prompt has 34 tokens
        return
    cut, network = given.cutter(), model.denoiser.network  # type: ignore[attr-defined]
    read = max(length for length in (limit - 1, limit) if cut("b" * length) is None)
    whole = "b" * read

    def encoded(prompt: str) -> list[Tensor]:
        """The encodings of tokens, without the pooled state, which has another tokenizer."""
        with torch.inference_mode(), quiet():
            return [tensor for key, tensor in network.encode(prompt).items() if key != "pooled_projections"]

    for change, same in ((f"{whole}a", True), (f"{whole[:-1]}a", False)):
        pairs = zip(encoded(f"{whole}b" if same else whole), encoded(change), strict=True)
        assert all(torch.equal(*pair) for pair in pairs) == same
