"""No key of a published configuration is ignored: each is used, built from, or known to change nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny_flow_pipelines
import tiny_pipelines
import torch
from checks_of_models import MODELS as CHECKS

from tts.errors import WeightsError
from tts.models.config_keys import (
    INDEX,
    OFF,
    SCHEDULER,
    TEXT,
    TOKENIZER,
    TRANSFORMER,
    UNET,
    UNET_XL,
    VAE,
)
from tts.noise import normal
from tts.registry import MODELS


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every pipeline, saved once."""
    folder = tmp_path_factory.mktemp("saved")
    return {name: tiny_pipelines.save(make(), folder / name) for name, make in tiny_pipelines.PIPELINES.items()}


@pytest.fixture
def edited(saved: dict[str, Path]) -> Any:
    """Settings of a pipeline after keys of one of its files were changed; the change ends with the test."""
    before: dict[Path, str] = {}

    def edit(name: str, file: str, **changes: Any) -> Any:
        path = saved[name] / file
        before.setdefault(path, path.read_text())
        path.write_text(json.dumps({**json.loads(before[path]), **changes}))
        return MODELS.make({"name": name, "id": str(saved[name]), "sampler": {"steps": 2}})[1]

    yield edit
    for path, text in before.items():
        path.write_text(text)


FILES: dict[str, tuple[str, Any]] = {
    "unet/config.json": ("stable-diffusion", UNET),
    "vae/config.json": ("stable-diffusion", VAE),
    "text_encoder/config.json": ("stable-diffusion", TEXT),
    "text_encoder_2/config.json": ("stable-diffusion-xl", TEXT),
    "tokenizer/tokenizer_config.json": ("stable-diffusion", TOKENIZER),
    "tokenizer_2/tokenizer_config.json": ("stable-diffusion-xl", TOKENIZER),
    "scheduler/scheduler_config.json": ("dit", SCHEDULER),
    "transformer/config.json": ("dit", TRANSFORMER),
    "model_index.json": ("stable-diffusion", INDEX),
}


@pytest.mark.parametrize("file", FILES)
def test_an_unknown_key_is_refused_by_its_name(file: str, edited: Any) -> None:
    settings = edited(FILES[file][0], file, frobnicate=3, _note=1)
    for use in ("check", "load"):
        with pytest.raises(WeightsError, match=rf"^id [^\n]*{file} has frobnicate = 3, which is not known here[^\n]*$"):
            getattr(settings, use)()
    for off in OFF:
        edited(FILES[file][0], file, frobnicate=off).check()


ONLY = [(file, key) for file, (_, table) in FILES.items() for key, how in table.items() if how.values]


@pytest.mark.parametrize(("file", "key"), ONLY)
def test_a_value_that_is_not_supported_is_refused_by_its_name(file: str, key: str, edited: Any) -> None:
    said = rf"^id [^\n]*{file} has {key} = 'other', not [^\n]*: .*; set another id$"
    with pytest.raises(WeightsError, match=said):
        edited(FILES[file][0], file, **{key: "other"}).check()


def test_sdxls_network_is_told_sizes(edited: Any) -> None:
    assert UNET_XL["addition_embed_type"].values == ("text_time",)
    with pytest.raises(WeightsError, match="addition_embed_type = None, not 'text_time'"):
        edited("stable-diffusion-xl", "unet/config.json", addition_embed_type=None).check()
    with pytest.raises(WeightsError, match="addition_embed_type = 'text_time', not None, 'text'"):
        edited("stable-diffusion", "unet/config.json", addition_embed_type="text_time").check()


def test_networks_whose_answer_is_no_prediction_are_refused(edited: Any) -> None:
    with pytest.raises(WeightsError, match="its unet answers with 8 channels, and a latent has 4"):
        edited("stable-diffusion", "unet/config.json", out_channels=8).check()
    with pytest.raises(WeightsError, match="its transformer answers with 7 channels to 4"):
        edited("dit", "transformer/config.json", out_channels=7).check()


def test_fourier_frequencies_of_a_unet_want_float32(edited: Any, saved: dict[str, Path]) -> None:
    edited("stable-diffusion", "unet/config.json", time_embedding_type="fourier").check()
    half = MODELS.make({"name": "stable-diffusion", "id": str(saved["stable-diffusion"]), "precision": "fp16"})[1]
    with pytest.raises(WeightsError, match="Fourier frequencies would be rounded; set precision to fp32, not fp16"):
        half.check()


def test_a_dit_is_found_under_its_former_name(edited: Any, saved: dict[str, Path]) -> None:
    """The published form, with the former name, gives the same image."""
    images = []
    for name in ("DiTTransformer2DModel", "Transformer2DModel"):
        edited("dit", "model_index.json", transformer=["diffusers", name])
        settings = edited("dit", "transformer/config.json", _class_name=name, num_vector_embeds=None)
        settings.check()
        model = settings.load()
        with torch.inference_mode():
            x = torch.from_numpy(normal(1, model.shape))[None]
            images.append(model.denoise(x, torch.tensor([501.0], dtype=torch.float64), [3]))
    assert torch.equal(*images)


def test_so_is_a_pixart(tmp_path: Path) -> None:
    """PixArt-Sigma was also published before its class had its own name."""
    folder = tiny_pipelines.save(tiny_flow_pipelines.pixart_sigma(), tmp_path / "it")
    for file in ("model_index.json", "transformer/config.json"):
        path = folder / file
        path.write_text(path.read_text().replace("PixArtTransformer2DModel", "Transformer2DModel"))
    settings = MODELS.make({"name": "pixart-sigma", "id": str(folder)})[1]
    settings.check()
    assert type(settings.load().module).__name__ == "PixArtTransformer2DModel"


def test_mean_and_deviation_of_latents_are_undone(edited: Any) -> None:
    """The reference is the formula of SDXL's pipeline."""
    stats = {"scaling_factor": 0.5, "latents_mean": [0.1, 0.2, 0.3, 0.4], "latents_std": [1.0, 2.0, 3.0, 4.0]}
    x = torch.from_numpy(normal(1, (4, 8, 8)))[None]
    settings = edited("stable-diffusion-xl", "vae/config.json", **stats)
    with torch.inference_mode():
        mean, std = (torch.tensor(stats[f"latents_{name}"]).view(-1, 1, 1) for name in ("mean", "std"))
        vae = settings.pipeline().vae
        expected = ((vae.decode(x * std / 0.5 + mean).sample / 2 + 0.5).clamp(0, 1) * 255).round()
        off = int((settings.load().decode(x).int() - expected.int()).abs().max())
        assert off == CHECKS["latent statistics"].near(0)


@pytest.mark.parametrize("name", ["stable-diffusion", "dit"])
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"shift_factor": 0.3}, "shift_factor = 0.3, not None, 0: its pipeline does not shift latents"),
        (
            {"latents_mean": [0.5] * 4, "latents_std": [2.0] * 4},
            "latents_mean = .*, not None: its pipeline does not normalise latents",
        ),
    ],
)
def test_what_a_pipeline_leaves_out_is_not_done_here(
    name: str, changes: dict[str, Any], said: str, edited: Any
) -> None:
    """Diffusers' own pipeline would draw another image from the same checkpoint."""
    for use in ("check", "load"):
        with pytest.raises(WeightsError, match=said):
            getattr(edited(name, "vae/config.json", **changes), use)()


AGREEMENTS: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "no scale": ("dit", "vae", {"scaling_factor": None}, "scaling_factor is None, no number above 0"),
    "a scale of nothing": ("dit", "vae", {"scaling_factor": 0}, "scaling_factor is 0, no number above 0"),
    "a scale in letters": (
        "stable-diffusion",
        "vae",
        {"scaling_factor": "0.18"},
        "scaling_factor is '0.18', no number",
    ),
    "a mean alone": (
        *("stable-diffusion-xl", "vae", {"latents_mean": [0.0] * 4, "latents_std": None}),
        "its vae has latents_mean or latents_std alone",
    ),
    "a mean of other channels": (
        *("stable-diffusion-xl", "vae", {"latents_mean": [0.0], "latents_std": [1.0]}),
        "its vae's latents_mean and latents_std are not of 4 channels",
    ),
    "a UNet of wider prompts": (
        *("stable-diffusion", "unet", {"cross_attention_dim": 768}),
        "its unet reads prompts of 768 numbers a token, and its text encoders give 32",
    ),
    "a refiner": (
        *("stable-diffusion-xl", "unet", {"projection_class_embeddings_input_dim": 72}),
        "its unet is told 72 numbers beside its prompt, and six sizes and a pooled prompt are 80",
    ),
}


@pytest.mark.parametrize("case", AGREEMENTS)
def test_parts_that_do_not_agree_are_refused(case: str, edited: Any) -> None:
    name, part, changes, said = AGREEMENTS[case]
    for use in ("check", "load"):
        with pytest.raises(WeightsError, match=f"^id [^\n]*{said}[^\n]*$"):
            getattr(edited(name, f"{part}/config.json", **changes), use)()


@pytest.mark.parametrize("length", [None, 20, 10**30, 16.0, 2])
@pytest.mark.parametrize("words", ["tokenizer", "tokenizer_2"])
def test_prompts_are_no_longer_than_the_text_encoder_reads(words: str, length: Any, edited: Any) -> None:
    """A tokenizer without a length would pad prompts without end."""
    settings = edited("stable-diffusion-xl", f"{words}/tokenizer_config.json", model_max_length=length)
    for use in ("check", "load"):
        with pytest.raises(
            WeightsError, match=rf"its {words}'s model_max_length is \S+, and its text encoder reads 16"
        ):
            getattr(settings, use)()
