"""Published forms of weights for rewards and previews that would give wrong scores or images if misread."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny_pipelines
import tiny_rewards
import torch
from diffusers import AutoencoderTiny
from safetensors.torch import load_file, save_file
from torch import Tensor

from tts.errors import SettingError, TTSError
from tts.registry import MODELS, REWARDS
from tts.rewards.classifier import Classifier

FILES = {
    "clip": ("model", "open_clip_model.safetensors"),
    "aesthetic": ("head", ""),
    "imagereward": ("weights", ""),
    "classifier": ("weights", ""),
    "pickscore": ("id", "model.safetensors"),
}
"""Settings that name weights, and the file's name in a folder."""


@pytest.fixture(autouse=True)
def _inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = tiny_rewards.all_settings(tmp_path_factory.mktemp("forms") / "all")
    return found


def whole(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: (9 * value).to(torch.int8) if value.is_floating_point() else value for name, value in tensors.items()}


@pytest.mark.parametrize("name", FILES)
def test_quantised_weights_are_refused(name: str, files: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    setting, inner = FILES[name]
    given, copy = Path(files[name][setting]), tmp_path / Path(files[name][setting]).name
    if inner:
        shutil.copytree(given, copy)
        save_file(whole(load_file(copy / inner)), copy / inner, metadata={"format": "pt"})
    else:
        torch.save(whole(torch.load(given)), copy)
    _, reward = REWARDS.make({"name": name, **files[name], setting: str(copy)})
    with pytest.raises(TTSError, match=r"is (int8|I8): quantised weights are not read; name others$") as error:
        reward.load()
    assert str(copy) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_prompt_is_read_with_the_words_that_the_weights_know(
    files: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    """A cased BERT has fewer words, so each of its numbers would stand for another word."""
    shutil.copytree(files["imagereward"]["tokenizer"], tmp_path / "cased")
    words = (tmp_path / "cased" / "vocab.txt").read_text().split("\n")
    (tmp_path / "cased" / "vocab.txt").write_text("\n".join(words[:40]) + "\n")
    settings = {**files["imagereward"], "tokenizer": str(tmp_path / "cased")}
    with pytest.raises(TTSError, match=r"cased: has 40 tokens, but .* trained with 57 and 2 special ones"):
        REWARDS.make({"name": "imagereward", **settings})[1].check()
    REWARDS.make({"name": "imagereward", **files["imagereward"]})[1].check()


def test_imagereward_says_whose_mean_and_deviation_it_takes(files: dict[str, dict[str, Any]]) -> None:
    _, reward = REWARDS.make({"name": "imagereward", **files["imagereward"]})
    [note] = reward.notes(["a"])
    assert "values are standardised by the mean 0.1672 and the deviation 1.0333 of the published weights" in note


def test_names_of_torchvisions_weights_may_have_their_class() -> None:
    """Names as torchvision's programs and papers write them."""
    short = Classifier(model="resnet50", weights="IMAGENET1K_V1")
    full = Classifier(model="resnet50", weights="ResNet50_Weights.IMAGENET1K_V1")
    assert full._named() is short._named() is not None
    assert full._named() is not Classifier(model="resnet50")._named()
    with pytest.raises(SettingError, match=r"ResNet18_Weights\.DEFAULT: for another model; those of resnet50 are ResN"):
        Classifier(model="resnet50", weights="ResNet18_Weights.DEFAULT")._named()
    assert Classifier(model="resnet50", weights="mine/My_Weights.v2.pth")._named() is None


PREVIEWS: dict[str, tuple[dict[str, Any], str]] = {
    "larger images": (
        {"encoder_block_out_channels": (8,) * 3, "decoder_block_out_channels": (8,) * 3}
        | {"num_encoder_blocks": (1,) * 3, "num_decoder_blocks": (1,) * 3},
        "draws 4 pixels per side of a cell, but this model's images have 2$",
    ),
    "other latents": ({"latent_channels": 8}, "decodes latents of 8 channels, but this model's have 4$"),
    "a scale of its own": ({"scaling_factor": 0.5}, "config.json has scaling_factor = 0.5, not 1: it decodes latents"),
    "a shift of its own": ({"shift_factor": 0.5}, "config.json has shift_factor = 0.5, not 0, None"),
}


@pytest.mark.parametrize("case", PREVIEWS)
def test_previews_of_other_latents_or_sizes_are_refused(case: str, tmp_path: Path) -> None:
    changes, message = PREVIEWS[case]
    small: dict[str, Any] = {"encoder_block_out_channels": (8, 8), "decoder_block_out_channels": (8, 8)}
    small |= {"num_encoder_blocks": (1, 1), "num_decoder_blocks": (1, 1), "upsampling_scaling_factor": 2}
    AutoencoderTiny(**{**small, **changes}).save_pretrained(tmp_path / "tiny")
    folder = tiny_pipelines.save(tiny_pipelines.stable_diffusion(), tmp_path / "it")
    settings = MODELS.make({"name": "stable-diffusion", "id": str(folder), "preview": str(tmp_path / "tiny")})[1]
    with pytest.raises(TTSError, match=f"^preview [^\n]*{message}"):
        settings.check()
