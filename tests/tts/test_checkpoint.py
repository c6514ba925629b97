"""Diffusers checkpoints: missing, damaged and foreign parts are named, and nothing in them is executed."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_pipelines
import torch
from hostile import pickle_that_makes, tokenizer_that_makes
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from bench.study.config import RunConfig
from bench.study.study import Study
from tts.errors import SettingError, WeightsError
from tts.files.hub import hub_file, hub_folder
from tts.models.checkpoint import _fetch
from tts.models.tokenizers import read_tokenizer
from tts.quiet import quiet
from tts.registry import MODELS

UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every pipeline, saved once."""
    folder = tmp_path_factory.mktemp("saved")
    return {name: tiny_pipelines.save(make(), folder / name) for name, make in tiny_pipelines.PIPELINES.items()}


@pytest.fixture
def own(saved: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of Stable Diffusion to damage."""
    return Path(shutil.copytree(saved["stable-diffusion"], tmp_path / "own"))


def settings(name: str, id: object, **values: Any) -> Any:
    return MODELS.make({"name": name, "id": str(id), "steps": 4, **values})[1]


def refusal(name: str, id: object, **values: Any) -> str:
    """The message about an unusable checkpoint, which check and load share."""
    said = []
    for use in ("check", "load"):
        with pytest.raises((WeightsError, SettingError)) as error:
            getattr(settings(name, id, **values), use)()
        said.append(str(error.value))
    assert "\n" not in said[0]
    return said[0]


@pytest.mark.parametrize("name", tiny_pipelines.PIPELINES)
def test_a_whole_checkpoint_is_found_whole(name: str, saved: dict[str, Path]) -> None:
    settings(name, saved[name]).check()


def test_the_wrong_kind_of_pipeline_is_named(saved: dict[str, Path]) -> None:
    with pytest.raises(
        WeightsError, match="holds a StableDiffusionXLPipeline, not a StableDiffusionPipeline; set another"
    ):
        settings("stable-diffusion", saved["stable-diffusion-xl"]).check()
    with pytest.raises(WeightsError, match="holds a DiTPipeline, not a StableDiffusionXLPipeline"):
        settings("stable-diffusion-xl", saved["dit"]).check()


def test_a_truncated_file_is_named(own: Path) -> None:
    whole = (own / UNET).read_bytes()
    (own / UNET).write_bytes(whole[: len(whole) // 2])
    assert "diffusion_pytorch_model.safetensors: damaged" in refusal("stable-diffusion", own)


def test_pickled_weights_are_not_opened(own: Path) -> None:
    proof = own / "proof"
    pickle_that_makes(proof, own / "unet" / "diffusion_pytorch_model.bin")
    settings("stable-diffusion", own).load()  # the file beside the weights is not read
    (own / UNET).unlink()
    assert "its unet has no safetensors weights" in refusal("stable-diffusion", own)
    assert not proof.exists()


def test_a_tokenizers_own_code_is_not_run_and_nobody_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tokenizer_that_makes(tmp_path / "proof", tmp_path / "tokenizer")
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    with pytest.raises(WeightsError, match="its tokenizer cannot be read"):
        read_tokenizer(folder)
    with pytest.raises(ValueError, match="custom code"), quiet():  # as pipelines and processors load theirs
        AutoTokenizer.from_pretrained(folder)
    assert not (tmp_path / "proof").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda own: shutil.rmtree(own / "vae"), "vae has no safetensors weights"),
        (lambda own: (own / "text_encoder/adapter_config.json").write_text("{}"), "text_encoder has an adapter beside"),
        (lambda own: (own / "model_index.json").unlink(), "the folder has no model_index.json"),
        (lambda own: (own / "model_index.json").write_text("{"), "model_index.json cannot be read"),
        (lambda own: (own / "model_index.json").write_text("[" * 100_000), "model_index.json cannot be read"),
        (lambda own: (own / "scheduler/scheduler_config.json").unlink(), "no scheduler/scheduler_config.json"),
    ],
)
def test_what_is_missing_is_named(change: Callable[[Path], Any], message: str, own: Path) -> None:
    change(own)
    with pytest.raises(WeightsError) as error:
        settings("stable-diffusion", own).check()
    assert message in str(error.value)


def edited(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_weights_of_another_network_are_refused(own: Path) -> None:
    edited(own / "unet" / "config.json", layers_per_block=2)
    with pytest.raises(WeightsError, match="its parts cannot be loaded"):
        settings("stable-diffusion", own).load()


def test_inpainting_networks_are_refused(own: Path) -> None:
    edited(own / "unet" / "config.json", in_channels=9)
    assert "its unet takes 9 channels" in refusal("stable-diffusion", own)


@pytest.mark.parametrize(
    ("schedule", "values", "message"),
    [
        ({"prediction_type": "flow_prediction"}, {}, "its network predicts 'flow_prediction'"),
        (
            {"prediction_type": "v_prediction"},
            {"prediction": "epsilon"},
            "the checkpoint's scheduler says v_prediction",
        ),
        ({"thresholding": True}, {}, "thresholds predictions"),
        ({"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}, {}, "begins without signal"),
        ({"beta_schedule": "sigmoid"}, {}, "its schedule of betas cannot be used (sigmoid"),
        ({}, {"steps": 2000}, "steps = 2000: the checkpoint's schedule has only 1000"),
    ],
)
def test_schedules_that_cannot_be_used_are_refused(
    schedule: dict[str, Any], values: dict[str, Any], message: str, own: Path
) -> None:
    edited(own / "scheduler" / "scheduler_config.json", **schedule)
    with pytest.raises((WeightsError, SettingError)) as error:
        settings("stable-diffusion", own, **values).check()
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("id", ["/nowhere", "./nowhere", "nowhere", "a/b/c", "~/nowhere-at-all"])
def test_what_is_neither_folder_nor_repository_is_named(id: str) -> None:
    assert f"id {id}: no such folder, and no name of a repository" in refusal("stable-diffusion", id)


def test_a_file_is_no_folder(own: Path) -> None:
    assert "a file; name a folder (stable-diffusion and stable-diffusion-xl take a single file as 'file')" in refusal(
        "stable-diffusion", own / UNET
    )


def test_eta_0_with_a_search_is_refused(saved: dict[str, Path]) -> None:
    values = {
        "model": {"name": "stable-diffusion", "id": str(saved["stable-diffusion"]), "eta": 0},
        "rewards": ["brightness"],
        "searches": ["eps_greedy"],
        "problems": {"conditions": ["a cat"]},
        "output": "unused",
    }
    with pytest.raises(SettingError, match=r"injects no noise at any step.*eps_greedy.*raise the sampler"):
        Study(RunConfig.model_validate(values))
    Study(RunConfig.model_validate({**values, "searches": ["naive", "best_of_n"]}))


class TestIdentity:
    """Everything that changes an image changes the identity, and nothing else does."""

    def test_a_copy_elsewhere_is_the_same(self, saved: dict[str, Path], own: Path) -> None:
        there = settings("stable-diffusion", saved["stable-diffusion"]).identity()
        assert settings("stable-diffusion", own).identity() == there
        assert str(own) not in json.dumps(there)

    @pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
    def test_a_weight_counts(self, part: str, own: Path) -> None:
        before = settings("stable-diffusion", own).identity()
        [file] = (own / part).glob("*.safetensors")
        tensors = load_file(file)
        name = sorted(tensors)[0]
        save_file({**tensors, name: tensors[name] + 1}, file, metadata={"format": "pt"})
        assert settings("stable-diffusion", own).identity() != before

    @pytest.mark.parametrize(
        "file", ["scheduler/scheduler_config.json", "unet/config.json", "tokenizer/tokenizer.json"]
    )
    def test_a_configuration_counts(self, file: str, own: Path) -> None:
        before = settings("stable-diffusion", own).identity()
        edited(own / file, another=1)
        assert settings("stable-diffusion", own).identity() != before

    @pytest.mark.parametrize(
        "values",
        [{"steps": 5}, {"eta": 0.5}, {"guidance": 2}, {"negative_prompt": "x"}, {"size": 32}, {"precision": "bf16"}],
    )
    def test_a_setting_counts(self, values: dict[str, Any], own: Path) -> None:
        assert settings("stable-diffusion", own, **values).identity() != settings("stable-diffusion", own).identity()

    def test_the_previews_decoder_counts(self, own: Path, tmp_path: Path) -> None:
        previews = [tiny_pipelines.save_tiny_autoencoder(tmp_path / str(seed), seed) for seed in (1, 2)]
        identities = [settings("stable-diffusion", own, preview=str(preview)).identity() for preview in previews]
        assert identities[0] != identities[1] != settings("stable-diffusion", own).identity()


def test_shards_and_variants(tmp_path: Path) -> None:
    pipeline = tiny_pipelines.stable_diffusion()
    whole = tiny_pipelines.save(pipeline, tmp_path / "whole")
    shards = tiny_pipelines.save(pipeline, tmp_path / "shards", max_shard_size="100KB")
    half = tiny_pipelines.save(pipeline, tmp_path / "half", variant="fp16")
    assert len(list((shards / "unet").glob("*-of-*.safetensors"))) > 1
    x, times = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([1.0, 501.0])
    answers = []
    for id, values in ((whole, {}), (shards, {}), (half, {"variant": "fp16"})):
        made = settings("stable-diffusion", id, **values)
        made.check()
        with torch.inference_mode():
            answers.append(made.load().denoise(x, times.double(), ["a", "b"]))
    assert torch.equal(answers[0], answers[1])
    assert torch.equal(answers[0], answers[2])
    assert "its unet has no safetensors weights; set variant" in refusal("stable-diffusion", half)
    assert "safetensors weights of variant 'fp16'" in refusal("stable-diffusion", whole, variant="fp16")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, without a connection to the hub."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    for cached in (hub_file, hub_folder, _fetch):
        cached.cache_clear()
    return tmp_path / "hub"


def test_an_unreachable_hub_is_one_line_that_says_what_to_do(hub: Path) -> None:
    said = refusal("stable-diffusion", "owner/name")
    assert said.startswith(
        "id owner/name: is not in the cache, and the hub cannot be reached; set id to a local folder"
    )


def test_only_the_hubs_cache_names_files_by_their_digests(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = (own / UNET).rename(tmp_path / ("0" * 64))
    (own / UNET).symlink_to(blob)
    weights = settings("stable-diffusion", own).identity()["weights"]
    assert weights[UNET] == hashlib.sha256(blob.read_bytes()).hexdigest()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert settings("stable-diffusion", own).identity()["weights"] == {**weights, UNET: blob.name}


def in_cache(hub: Path, id: str, folder: Path) -> None:
    """Put a repository into the hub's cache, as the hub's client does."""
    place, commit = hub / f"models--{id.replace('/', '--')}", "a" * 40
    shutil.copytree(folder, place / "snapshots" / commit)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(commit)


def test_a_repository_in_the_cache_is_as_good_as_a_folder(hub: Path, saved: dict[str, Path]) -> None:
    in_cache(hub, "owner/name", saved["dit"])
    cached, local = (settings("dit", id) for id in ("owner/name", saved["dit"]))
    cached.check()
    assert cached.identity() == local.identity()
    x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        answers = [made.load().denoise(x, torch.tensor([0.0, 250.0]).double(), [1, 2]) for made in (cached, local)]
    assert torch.equal(*answers)
