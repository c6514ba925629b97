"""Features of a run's final images."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny_rewards
import torch
from PIL import Image
from stored_runs import MANIFEST, stored
from synthetic_trials import trial

from bench.statistics import features
from bench.statistics.features import image_features, reference_moments
from bench.store import reader as store
from bench.store.row import TrialRow
from bench.store.writer import Store
from tts.files import weights_file
from tts.metrics.frechet_judge import FrechetJudge
from tts.networks.small_vgg import SmallVGG
from tts.rewards.class_judge import ClassJudge
from tts.rewards.clip import Clip
from tts.training.frechet import moments, save

RECIPE = {"seed": 1, "moves": []}
OTHER_MODEL = {"model": {"name": "stable-diffusion"}, "numerics": {}, "seed": 0}


@pytest.fixture(autouse=True)
def small_judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An untrained judge, with moments of its features."""
    monkeypatch.setattr(ClassJudge, "shipped", tmp_path / "judge.safetensors")
    monkeypatch.setattr(features, "MOMENTS", tmp_path / "moments.safetensors")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        digest = weights_file.save(SmallVGG(), tmp_path / "judge.safetensors")
    drawn = np.random.default_rng(0).normal(size=(500, 192))
    save(moments(drawn), tmp_path / "moments.safetensors", digest)


def pixels(number: int, size: int = 32) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (size, size, 3), dtype=np.uint8)


def png(number: int, size: int = 32) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels(number, size)).save(file, "PNG")
    return file.getvalue()


def rows(count: int, size: int = 32) -> list[dict[str, Any]]:
    found = [trial(condition=k % 10, seed=k // 10, noises=[RECIPE], image=png(k, size)) for k in range(count)]
    return [{**row, "trial": row["trial"][:32]} for row in found]


def run(folder: Path, found: list[dict[str, Any]], image_files: bool = False, **manifest: Any) -> Path:
    return stored(folder, found, image_files, **{"config": {"rewards": ["brightness"]}, **manifest})


def read(output: Path) -> pd.DataFrame:
    frame: pd.DataFrame = store.read(output, ["trial"]).to_pandas()
    return frame


@pytest.mark.parametrize("image_files", [False, True])
def test_features_are_the_judges_in_the_trials_order(tmp_path: Path, image_files: bool) -> None:
    found = rows(70)
    order = np.random.default_rng(0).permutation(70)
    trials = pd.DataFrame({"trial": [found[k]["trial"] for k in order]})
    made = image_features(run(tmp_path / "run", found, image_files), trials)
    assert not isinstance(made, str)
    judge = ClassJudge().classifier()
    x = torch.from_numpy(np.stack([pixels(int(k)) for k in order])).permute(0, 3, 1, 2).float() / 127.5 - 1
    np.testing.assert_allclose(made.values, judge.features(x).numpy(), rtol=1e-3, atol=1e-5)
    assert (made.values.shape, made.values.dtype) == ((70, 192), np.float32)
    assert "class_judge" in made.extractor


def test_a_trial_without_an_image_has_a_row_of_nan(tmp_path: Path) -> None:
    found = rows(5)
    found[2]["image"] = None
    output = run(tmp_path / "run", found)
    trials = pd.concat([pd.DataFrame({"trial": ["elsewhere"]}), read(output), read(output)])
    made = image_features(output, trials)
    assert not isinstance(made, str)
    assert np.isnan(made.values).all(axis=1).tolist() == [True, *[False, False, True, False, False] * 2]
    np.testing.assert_array_equal(made.values[1:6], made.values[6:])


def test_a_run_that_kept_no_images_says_so(tmp_path: Path) -> None:
    output = run(tmp_path / "run", [{**row, "image": None} for row in rows(3)])
    assert image_features(output, read(output)) == "the run kept no images"


def test_another_models_images_are_seen_by_the_clip_that_scored_them(tmp_path: Path) -> None:
    settings = tiny_rewards.all_settings(tmp_path / "weights")["clip"]
    config = {"rewards": ["brightness", "gone"], "held_out": [{"name": "clip", "as": "judge", **settings}]}
    output = run(tmp_path / "run", rows(4, size=40), config=config, resolved=OTHER_MODEL)
    made = image_features(output, read(output), trust=True)
    assert not isinstance(made, str)
    images = torch.from_numpy(np.stack([pixels(k, 40) for k in range(4)])).permute(0, 3, 1, 2)
    expected = Clip(**settings).encoders("cpu").images(images)
    order = read(output)["trial"].map({row["trial"]: k for k, row in enumerate(rows(4, size=40))})
    np.testing.assert_allclose(made.values, expected.detach().numpy()[order], rtol=1e-4, atol=1e-5)
    assert made.extractor.startswith("image embeddings of clip's")
    assert reference_moments(made) is None


@pytest.mark.parametrize(
    ("rewards", "reason"),
    [
        (["brightness", "somebodys:own"], "no features at hand: the run scores by no clip"),
        ([{"name": "clip", "model": "unheard-of"}], "no features at hand: model unheard-of: unknown"),
    ],
)
def test_without_features_there_is_a_reason(tmp_path: Path, rewards: list[Any], reason: str) -> None:
    output = run(tmp_path / "run", rows(2), config={"rewards": rewards}, resolved=OTHER_MODEL)
    found = image_features(output, read(output))
    assert isinstance(found, str)
    assert found.startswith(reason)


def test_a_missing_judge_is_a_reason(tmp_path: Path) -> None:
    output = run(tmp_path / "run", rows(2))
    (tmp_path / "judge.safetensors").unlink()
    found = image_features(output, read(output))
    assert isinstance(found, str)
    assert found.endswith("judge.safetensors: no such file")


def test_reference_moments_belong_to_the_judge(tmp_path: Path) -> None:
    output = run(tmp_path / "run", rows(2))
    made = image_features(output, read(output))
    assert not isinstance(made, str)
    found = reference_moments(made)
    assert found is not None
    assert (found.n, found.mean.shape) == (500, (192,))


def test_the_modules_load_without_torch(fresh_python: Callable[..., str]) -> None:
    code = "import sys, bench.statistics.features, bench.statistics.hacking; print('torch' in sys.modules)"
    assert fresh_python(code) == "False"


def test_stored_features_are_taken_before_images_are_looked_at(tmp_path: Path) -> None:
    made = rows(3)
    extractor = f"cifar10-judge {weights_file.digest(ClassJudge().path)}"
    assert FrechetJudge().extractor.startswith("cifar10-judge ")
    own = {row["trial"]: np.full(192, k, np.float32) for k, row in enumerate(made[:2])}
    session = Store(tmp_path / "with", ["brightness"])
    session.open("d", {**MANIFEST, "config": {"rewards": ["brightness"]}})
    for row in made:
        looked_at = {extractor: own[row["trial"]]} if row["trial"] in own else {}
        session.add(replace(TrialRow.of_record({"problem_seed": 0, **row}), features=looked_at))
    session.close()
    found = image_features(tmp_path / "with", pd.DataFrame(made))
    assert not isinstance(found, str)
    assert (found.values[:2] == np.stack(list(own.values()))).all()
    assert np.isfinite(found.values[2]).all()
    assert not (found.values[2] == found.values[2, 0]).all()
