"""Names that a manifest may use without --trust: those of this package, and no local files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_study import SHIPPED, TINY

from bench.run.replay import stored_study
from bench.store import manifest
from bench.study.config import RunConfig
from bench.study.study import Study
from bench.study.trust import foreign, refuse_foreign
from tts.errors import UntrustedError

DEFAULT = "stable-diffusion-v1-5/stable-diffusion-v1-5"
SOMEBODYS: list[dict[str, Any]] = [
    {"model": {"name": "stable-diffusion", "id": "somebody/model"}},
    {"model": {"name": "stable-diffusion", "file": "folder/x.safetensors"}},
    {"model": {"name": "stable-diffusion", "vae": {"id": "somebody/vae"}}},
    {"rewards": ["brightness", {"name": "pickscore", "id": "somebody/model"}]},
    {"rewards": [{"name": "weighted", "of": [{"reward": {"name": "pickscore", "words": "a/b"}, "weight": 1}]}]},
    {"held_out": [{"name": "rank_average", "reference": "results/mine"}]},
    {"metrics": [{"name": "frechet_judge", "weights": ["somebody/model"]}]},
]


@pytest.mark.parametrize("config", SOMEBODYS, ids=str)
def test_a_repository_that_nobody_here_knows_is_not_fetched(config: dict[str, Any]) -> None:
    with pytest.raises(UntrustedError, match=r"^run: its manifest names a file, or a repository of the hub .*--trust$"):
        refuse_foreign(config, "run")


def test_what_is_taken_by_default_is_named_freely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = {
        "model": {"name": "stable-diffusion", "id": DEFAULT, "variant": "fp16"},
        "rewards": ["clip", {"name": "imagereward", "weights": "hf-hub:zai-org/ImageReward/ImageReward.pt"}],
        "searches": ["naive", {"name": "best_of_n", "budget": {"N": [2]}}],
    }
    assert list(foreign(config)) == []
    (tmp_path / DEFAULT).mkdir(parents=True)  # a folder of the reader's that has the name of a hub's repository
    assert [(key, text) for key, text, _ in foreign(config)] == [("model.id", DEFAULT)]


@pytest.mark.parametrize(
    "config",
    [
        {"model": {"name": "stable-diffusion", "id": "mine"}},
        {"model": {"name": "cifar10", "weights": "mine"}},
        {"rewards": [{"name": "clip", "model": "mine"}]},
        {"rewards": [{"name": "clip", "model": "clip"}]},
        {"metrics": [{"name": "frechet_judge", "weights": "mine/"}]},
    ],
    ids=str,
)
def test_what_lies_in_the_working_folder_is_not_read(
    config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("mine", "clip", "cifar10", "brightness"):
        (tmp_path / name).mkdir()
    with pytest.raises(UntrustedError, match=r"names something in the working folder \(.*--trust$"):
        refuse_foreign(config, "run")


def test_names_of_plug_ins_are_words_whatever_lies_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("cifar10", "brightness", "naive", "mine", "heun"):
        (tmp_path / name).touch()
    config = {
        "model": {"name": "cifar10", "sampler": {"name": "heun"}},
        "rewards": ["brightness", {"name": "weighted", "as": "mine", "of": [{"reward": "brightness", "weight": 1}]}],
        "searches": ["naive"],
    }
    refuse_foreign(config, "run")
    refuse_foreign({"model": "cifar10", "rewards": ["brightness"]}, "run")


@pytest.mark.parametrize("text", ["", " ", "x" * 5000, "a\0b"])
def test_a_text_that_can_be_no_name_is_a_word(text: str) -> None:
    refuse_foreign({"model": {"name": "dit", "variant": text}}, "run")


@pytest.mark.parametrize("trust", [False, True])
def test_a_manifests_cluster_is_joined_only_with_trust(trust: bool, tmp_path: Path) -> None:
    """What joins a cluster runs what the cluster says."""
    engines = {"backend": "ray", "address": "192.0.2.1:6379", "stage": "/somewhere", "prompts": "/elsewhere"}
    config = RunConfig.model_validate({**TINY, "model": SHIPPED, "engines": engines, "output": str(tmp_path)})
    study = Study(config)
    (tmp_path / "manifest.json").write_text(json.dumps(manifest.build(study, ["cpu"]), default=str))
    (tmp_path / "trials").mkdir()
    found = stored_study(tmp_path, trust).config.engines
    expected = ("192.0.2.1:6379", "/somewhere") if trust else ("local", None)
    assert (found.address, found.stage, found.prompts) == (*expected, "cache")
