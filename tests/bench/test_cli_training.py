"""``tts-bench train``: its weights and figures, how it resumes, and what it refuses."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from command_line import bench, refused, size, tree
from full_disk import Disk
from PIL import Image
from tiny_network import TinyNetwork
from torch import nn

from bench.run.training import TrainOptions, build
from tts.files import weights_file
from tts.models.cifar10 import Cifar10
from tts.networks.folded_unet import widths
from tts.networks.precondition import EDMPrecond
from tts.networks.small_vgg import SmallVGG
from tts.training import frechet
from tts.training.data import cifar10
from tts.training.evaluate import features
from tts.training.frechet import load, moments
from tts.training.recipes import RECIPES


@pytest.fixture(autouse=True)
def tiny_recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks that train in a moment."""
    builds = {
        "denoiser": lambda: EDMPrecond(TinyNetwork()),
        "classifier": lambda: nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 10)),
        "judge": lambda: SmallVGG(widths=(2, 3)),
    }
    for name, made in builds.items():
        schedule = replace(RECIPES[name].schedule, batch=16)
        monkeypatch.setitem(RECIPES, name, replace(RECIPES[name], build=made, schedule=schedule))


def data_set(folder: Path, images: int = 48, splits: tuple[str, ...] = ("train", "test")) -> Path:
    """A folder in the form of CIFAR-10's, with noise for images."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    for split in splits:
        rows = []
        for k in range(images):
            file = io.BytesIO()
            Image.fromarray(generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(file, "PNG")
            rows.append({"image": file.getvalue(), "label": k % 10})
        pq.write_table(pa.Table.from_pylist(rows), folder / f"cifar10_{split}.parquet")
    return folder


@pytest.mark.parametrize(
    ("what", "files"),
    [
        ("classifier", {"checkpoint.pt", "classifier.safetensors"}),
        ("judge", {"checkpoint.pt", "judge.safetensors", "judge-moments.safetensors", "judge-features.safetensors"}),
        ("denoiser", {"checkpoint.pt", "denoiser.safetensors", "samples.png"}),
    ],
)
def test_train_leaves_weights_and_goes_on(what: str, files: set[str], tmp_path: Path) -> None:
    data, folder = data_set(tmp_path / "data"), tmp_path / "deep" / what
    command = ["train", what, "--data", data, "--output", folder, "--threads", 1, "--samples", 20, "--images"]
    result = bench(*command, 64)
    assert (result.code, result.err) == (0, "")
    assert "images seen: 64\n" in result.out
    assert ("test accuracy: 0." in result.out) == (what != "denoiser")
    assert ("plain samples: 20\nshare given to the wanted class: 0." in result.out) == (what == "denoiser")
    assert {path.name for path in folder.iterdir()} == files
    weights = (folder / f"{what}.safetensors").read_bytes()
    if what == "denoiser":
        assert size(folder / "samples.png") == (8 * 33 + 1, 10 * 33 + 1)

    again = bench(*command, 64)  # has nothing left to do
    assert (again.code, again.err) == (0, "")
    assert "images seen: 64\n" in again.out
    assert (folder / f"{what}.safetensors").read_bytes() == weights

    assert "images seen: 96\n" in bench(*command, 96).out
    assert (folder / f"{what}.safetensors").read_bytes() != weights


def test_a_judges_moments_are_of_its_stored_weights_features(tmp_path: Path) -> None:
    data, folder = data_set(tmp_path / "data"), tmp_path / "judge"
    assert bench("train", "judge", "--data", data, "--output", folder, "--threads", 1, "--images", 32).code == 0
    network = SmallVGG(widths=(2, 3)).eval()
    weights_file.load(network, folder / "judge.safetensors")
    found = load(folder / "judge-moments.safetensors", weights_file.digest(folder / "judge.safetensors"))
    expected = moments(features(network, cifar10(data, "train").pixels))
    assert found.n == 48
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-6)
    np.testing.assert_allclose(found.covariance, expected.covariance, rtol=1e-5, atol=1e-12)


def test_a_wider_denoiser_is_trained_and_used(tmp_path: Path) -> None:
    data, folder = data_set(tmp_path / "data"), tmp_path / "narrow"
    trainer, recipe = build(TrainOptions("denoiser", data, folder, images=8, batch=4, widths=(32, 64)))
    assert (recipe.schedule.batch, len(list(trainer.run()))) == (4, 2)
    weights = tmp_path / "narrow.safetensors"
    weights_file.save(trainer.average.module, weights)
    narrow: Any = Cifar10(weights=weights).load()
    assert widths(weights_file.shapes(weights)) == (32, 64)
    assert narrow.module.unet.conv_in.weight.shape[0] == 32
    asked = ["train", "denoiser", "--data", data, "--images", 16]
    for wrong in ("32", "33,64", "0,32", "32,64,64,64,64,64"):
        refused("--widths: two to 5 multiples of 32", *asked, "--widths", wrong, "--output", tmp_path / "none")
    refused("--widths wide: expected numbers", *asked, "--widths", "wide", "--output", tmp_path / "none")
    refused("--widths: only the denoiser's", "train", "judge", *asked[2:], "--widths", "32,64", "--output", folder)


def test_train_refuses_what_it_cannot_use_before_it_writes(tmp_path: Path) -> None:
    few = data_set(tmp_path / "few", images=15)
    untested = data_set(tmp_path / "untested", splits=("train",))
    before = tree(tmp_path)

    def train(what: str, data: Path, output: Path) -> list[object]:
        return ["train", what, "--data", data, "--output", output, "--images", 32]

    out, nowhere = tmp_path / "out", tmp_path / "nowhere"
    refused(f"--data {nowhere}: neither cifar10_train.parquet nor", *train("denoiser", nowhere, out))
    long = tmp_path / ("x" * 300)
    refused(f"error: {long}/cifar10_train.parquet: File name too long", *train("denoiser", long, out))
    refused(f"--data {few}: 15 images do not fill one batch of 16", *train("denoiser", few, out))
    refused(f"--data {untested}: neither cifar10_test.parquet nor", *train("classifier", untested, out))
    below = few / "cifar10_test.parquet" / "out"
    refused(f"output {below}: cannot be written to", *train("denoiser", untested, below))
    refused(f"output {below.parent}: cannot be written to", *train("denoiser", untested, below.parent))
    assert tree(tmp_path) == before


def test_train_refuses_a_gpu_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    data, folder = data_set(tmp_path / "data"), tmp_path / "out"
    command = ["train", "judge", "--data", data, "--output", folder, "--device", "cuda"]
    refused("--device cuda: torch finds no GPU", *command)
    assert not folder.exists()


def test_train_refuses_a_checkpoint_of_another_training(tmp_path: Path) -> None:
    data, folder = data_set(tmp_path / "data"), tmp_path / "out"
    folder.mkdir()
    (folder / "checkpoint.pt").write_bytes(b"not a checkpoint")
    before = tree(folder)
    message = f"{folder / 'checkpoint.pt'}: not a checkpoint of this training; delete it to start anew"
    refused(message, "train", "denoiser", "--data", data, "--output", folder, "--images", 32)
    assert tree(folder) == before


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_is_one_line_and_leaves_nothing_behind(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, folder = data_set(tmp_path / "data"), tmp_path / "out"
    command = ["train", "judge", "--data", data, "--output", folder, "--threads", 1, "--images", 32]
    disk = Disk(monkeypatch, call)
    disk.full = True
    result = bench(*command)
    assert (result.code, result.err) == (2, f"error: output {folder}: cannot be written to (No space left on device)\n")
    assert disk.refused
    assert not list(folder.iterdir())


def test_a_disk_that_is_full_for_the_last_files_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, folder = data_set(tmp_path / "data"), tmp_path / "out"
    disk = Disk(monkeypatch, "replace")
    rows = frechet.save_rows

    def late(*given: Any) -> None:
        disk.full = True
        rows(*given)

    monkeypatch.setattr(frechet, "save_rows", late)
    result = bench("train", "judge", "--data", data, "--output", folder, "--threads", 1, "--images", 32)
    assert (result.code, result.err) == (2, f"error: output {folder}: cannot be written to (No space left on device)\n")
    assert {path.name for path in folder.iterdir()} == {
        "checkpoint.pt",
        "judge.safetensors",
        "judge-moments.safetensors",
    }
