"""A network gets all of its weights, and none is left unused; otherwise images would change without an error."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import original_form
import pytest
import tiny_pipelines
import tiny_rewards
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tts.errors import TTSError
from tts.registry import MODELS, REWARDS

Change = Callable[[dict[str, Tensor]], dict[str, Tensor]]
UNET = "model.diffusion_model."


def without(part: str) -> Change:
    return lambda tensors: {name: value for name, value in tensors.items() if part not in name}


def with_more(*names: str) -> Change:
    return lambda tensors: {**tensors, **{name: torch.zeros(3) for name in names}}


def renamed(prefix: str) -> Change:
    return lambda tensors: {prefix + name: value for name, value in tensors.items()}


def whole(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: (9 * value).to(torch.int8) for name, value in tensors.items()}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pipelines in folders, one in a single file, and a PickScore, saved once."""
    folder = tmp_path_factory.mktemp("whole")
    for name, make in tiny_pipelines.PIPELINES.items():
        tiny_pipelines.save(make(), folder / name)
    tiny_rewards.pickscore_folder(folder / "pickscore")
    tiny_pipelines.save_tiny_autoencoder(folder / "tiny")
    original_form.save(tiny_pipelines.stable_diffusion(), folder / "it.safetensors")
    return folder


def changed(file: Path, change: Change, to: Path, **notes: str) -> Path:
    save_file(change(load_file(file)), to, metadata={"format": "pt", **notes})
    return to


def copied(folder: Path, part: str, change: Change, to: Path) -> Path:
    """A copy of a folder in which one weights file holds other tensors."""
    shutil.copytree(folder, to)
    [file] = (to / part).glob("*.safetensors")
    changed(file, change, file)
    return to


FOLDERS: dict[str, tuple[str, str, Change, str]] = {
    "text encoder, a tensor short": (
        *("stable-diffusion", "text_encoder", without("layers.1.mlp.fc2.weight")),
        "its text_encoder has no weights for 'encoder.layers.1.mlp.fc2.weight'$",
    ),
    "text encoder, the last norm": (
        *("stable-diffusion", "text_encoder", without("final_layer_norm")),
        "no weights for 'final_layer_norm.bias' and 1 more$",
    ),
    "text encoder of another program": (
        *("stable-diffusion", "text_encoder", renamed("module.")),
        "its text_encoder has no weights for 'embeddings.position_embedding.weight' and 35 more$",
    ),
    "text encoder without its projection": (
        *("stable-diffusion-xl", "text_encoder_2", without("text_projection")),
        "its text_encoder_2 has no weights for 'text_projection.weight'$",
    ),
    "text encoder with an adapter": (
        *("stable-diffusion", "text_encoder", with_more("text_model.encoder.layers.0.self_attn.q_proj.lora_A.weight")),
        "its text_encoder takes no 'encoder.layers.0.self_attn.q_proj.lora_A.weight', which its weights have",
    ),
    "UNet with scales of its weights": (
        *("stable-diffusion", "unet", with_more("conv_in.weight_scale", "conv_out.weight_scale")),
        "its unet takes no 'conv_in.weight_scale' and 1 more, which",
    ),
    "UNet, a tensor short": (
        "stable-diffusion",
        "unet",
        without("conv_out.bias"),
        "its unet has no .*'conv_out.bias'$",
    ),
    "VAE of another form": ("dit", "vae", with_more("decoder.temporal.weight"), "its vae takes no 'decoder.temporal"),
    "transformer in whole numbers": (
        "dit",
        "transformer",
        whole,
        "is I8: quantised weights are not read; name others$",
    ),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_weights_that_do_not_fit_their_network_are_refused(case: str, root: Path, tmp_path: Path) -> None:
    name, part, change, message = FOLDERS[case]
    folder = copied(root / name, part, change, tmp_path / "it")
    with pytest.raises(TTSError, match=message) as error:
        MODELS.make({"name": name, "id": str(folder)})[1].load()
    assert "\n" not in str(error.value)


HARMLESS: dict[str, tuple[str, Change]] = {
    "positions": ("text_encoder", with_more("text_model.embeddings.position_ids")),
    "an older prefix": ("text_encoder", renamed("text_model.")),
    "the other half": ("text_encoder", with_more("vision_model.x", "logit_scale", "text_projection.weight")),
}


@pytest.mark.parametrize("case", HARMLESS)
def test_published_forms_of_the_same_weights_are_read(case: str, root: Path, tmp_path: Path) -> None:
    part, change = HARMLESS[case]
    folder = copied(root / "stable-diffusion", part, change, tmp_path / "it")
    found = MODELS.make({"name": "stable-diffusion", "id": str(folder)})[1].pipeline().text_encoder.state_dict()
    expected = load_file(root / "stable-diffusion" / part / "model.safetensors")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


FILES: dict[str, tuple[Change, dict[str, str], str]] = {
    "a tensor short": (
        without("diffusion_model.out.2.bias"),
        {},
        "has 207 tensors of a UNet, and the one of id has 208",
    ),
    "scales of its weights": (with_more(f"{UNET}out.2.scale_weight"), {}, "has 209 tensors of a UNet, and the one of"),
    "a further level": (with_more(f"{UNET}output_blocks.9.0.in_layers.0.weight"), {}, "has 209 tensors of a UNet"),
    "another VAE": (without("post_quant_conv"), {}, "has 122 tensors of a VAE, and the one of id has 124"),
    "a LoRA beside it": (
        with_more("lora_unet_x.lora_down.weight"),
        {},
        "holds a LoRA beside its parts, which would be",
    ),
    "whole numbers": (whole, {}, "is I8: quantised weights are not read"),
    "a note of velocities": (
        *(with_more(), {"modelspec.prediction_type": "v"}),
        "its UNet predicts 'v_prediction', and the scheduler beside id says 'epsilon'",
    ),
    "an architecture of velocities": (
        *(with_more(), {"modelspec.architecture": "stable-diffusion-v2-768-v"}),
        "its UNet predicts 'v_prediction'",
    ),
    "another schedule": (
        lambda tensors: {**tensors, "alphas_cumprod": tiny_pipelines.scheduler(beta_end=0.02).alphas_cumprod},
        {},
        "its 'alphas_cumprod' are not those of the scheduler beside id",
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_single_files_that_do_not_fit_are_refused(case: str, root: Path, tmp_path: Path) -> None:
    change, notes, message = FILES[case]
    file = changed(root / "it.safetensors", change, tmp_path / "it.safetensors", **notes)
    settings = MODELS.make({"name": "stable-diffusion", "id": str(root / "stable-diffusion"), "file": str(file)})[1]
    for use in ("check", "load"):
        with pytest.raises(TTSError, match=message) as error:
            getattr(settings, use)()
        assert "\n" not in str(error.value)


def test_what_only_training_needs_is_no_obstacle(root: Path, tmp_path: Path) -> None:
    """Published files hold such tensors; a note tells of averages of the UNet's weights."""
    averages = {f"model_ema.diffusion_model{k}": torch.zeros(1) for k in range(3)}
    more = {"first_stage_model.loss.logvar": torch.zeros(1), "cond_stage_model.logit_scale": torch.zeros(1)}
    alphas = {"alphas_cumprod": tiny_pipelines.scheduler().alphas_cumprod.half()}

    def change(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return {**tensors, **averages, **more, **alphas}

    notes = {"modelspec.prediction_type": "epsilon", "modelspec.architecture": "stable-diffusion-v1"}
    file = changed(root / "it.safetensors", change, tmp_path / "it.safetensors", **notes)
    settings = MODELS.make({"name": "stable-diffusion", "id": str(root / "stable-diffusion"), "file": str(file)})[1]
    settings.check()
    settings.load()
    [note] = settings.notes(["a cat"])
    assert note.startswith(f"file {file}: has averages of the UNet's weights beside them (model_ema), as the published")


def test_a_missing_shard_is_named_before_anything_is_loaded(root: Path, tmp_path: Path) -> None:
    for variant in (None, "fp16"):
        folder = tmp_path / str(variant)
        tiny_pipelines.save(tiny_pipelines.stable_diffusion(), folder, variant=variant, max_shard_size="200KB")
        settings = MODELS.make({"name": "stable-diffusion", "id": str(folder), "variant": variant})[1]
        settings.check()
        lacking = max((folder / "unet").glob("*-of-*.safetensors"))
        lacking.unlink()
        with pytest.raises(TTSError, match=f"its unet lacks {lacking.name}; download it again$"):
            settings.check()


def test_pickscore_and_previews_are_no_exception(root: Path, tmp_path: Path) -> None:
    pick = copied(root / "pickscore", ".", without("text_model.final_layer_norm.weight"), tmp_path / "pick")
    with pytest.raises(TTSError, match=r"has no weights for .text_model\.final_layer_norm\.weight."):
        REWARDS.make({"name": "pickscore", "id": str(pick), "processor": str(pick)})[1].load()
    more = copied(root / "tiny", ".", with_more("decoder.layers.9.weight"), tmp_path / "tiny")
    values = {"name": "stable-diffusion", "id": str(root / "stable-diffusion"), "preview": str(more)}
    with pytest.raises(TTSError, match=r"^preview .*takes no .decoder\.layers\.9\.weight."):
        MODELS.make(values)[1].load()


def test_a_part_of_another_class_than_the_index_says_is_refused(root: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(root / "stable-diffusion", tmp_path / "it")
    config = json.loads((folder / "vae" / "config.json").read_text())
    (folder / "vae" / "config.json").write_text(json.dumps({**config, "_class_name": "AsymmetricAutoencoderKL"}))
    settings: Any = MODELS.make({"name": "stable-diffusion", "id": str(folder)})[1]
    for use in ("check", "load"):
        with pytest.raises(TTSError, match="its vae's config is of a AsymmetricAutoencoderKL, not a AutoencoderKL"):
            getattr(settings, use)()
