"""``tts-bench metrics``: adds metrics to a finished run, from its stored images or its recipes."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from command_line import bench, refused
from PIL import Image
from test_metrics import stored_features
from tiny_study import SHIPPED, TINY

from bench.report.adding import chosen_device
from bench.run import featuring as module
from bench.store import features, writer
from bench.store import reader as store
from bench.store.added import FILE
from bench.store.leases import LocalLease
from bench.store.storage import LocalStorage
from bench.study.named import named
from tts.errors import EngineError
from tts.metrics.extractors.judge import Judge
from tts.metrics.frechet_judge import FrechetJudge
from tts.registry import METRICS

SEARCHES = ["naive", {"name": "random", "budget": {"N": [2, 3]}}]
FID = "{name: fid, features: judge}"
SCORE = "{name: inception_score, features: judge, splits: 2}"
OWN = "{name: own_metrics:ColourSpread, as: colours}"


def made(folder: Path, **changes: Any) -> Path:
    """A run of 24 trials in several parts."""
    problems = {"conditions": [0, 1], "seeds": 4}
    config = {
        **TINY,
        "model": {**SHIPPED, "sampler": {"steps": 2, "S_max": 100}},
        "searches": SEARCHES,
        "rewards": ["brightness"],
        "problems": problems,
        **changes,
    }
    path = folder / "study.json"
    path.write_text(json.dumps({**config, "output": str(folder / "run")}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "FLUSH_BYTES", 6000)
        result = bench("run", path)
    assert result.code == 0, result.err
    return folder / "run"


@pytest.fixture(scope="module")
def with_features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose engines computed the judge's features."""
    return made(tmp_path_factory.mktemp("with"), metrics=["frechet_judge"])


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run without features and images."""
    return made(tmp_path_factory.mktemp("bare"), images=False)


@pytest.fixture
def plain(with_features: Path, tmp_path: Path) -> Path:
    """The same run without its features."""
    copy = shutil.copytree(with_features, tmp_path / "plain")
    shutil.rmtree(copy / "features")
    (copy / "metrics.parquet").unlink()
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["config"]["metrics"] = []
    (copy / "manifest.json").write_text(json.dumps(manifest))
    return copy


def test_features_of_stored_images_are_those_of_the_engines(with_features: Path, plain: Path) -> None:
    result = bench("metrics", plain, "--add", "frechet_judge", "--add", FID, "--add", SCORE)
    assert result.code == 0, result.err
    expected = stored_features(with_features, FrechetJudge())
    found = stored_features(plain, FrechetJudge())
    assert found.keys() == expected.keys()
    for trial, row in expected.items():
        assert found[trial] == pytest.approx(row, rel=1e-4, abs=1e-5)
    values = pd.read_parquet(plain / "metrics.parquet").set_index("metric")
    assert set(values["n"]) == {8}
    theirs = pd.read_parquet(with_features / "metrics.parquet")["value"]
    assert values.loc["frechet_judge", "value"].to_numpy() == pytest.approx(theirs.to_numpy(), rel=1e-3)
    assert values.loc["fid", "value"].to_numpy() == pytest.approx(theirs.to_numpy(), rel=1e-3)
    assert len(values) == 9
    assert "logits: 24 computed, 0 were there" in result.words
    assert f"fid: {Judge().about()}, against" in result.words
    assert "8 images are too few: this metric asks for 960" in result.words
    again = bench("metrics", plain)
    assert "24 computed" not in again.words
    assert again.words.count("0 computed, 24 were there") == 2
    assert bench("curves", plain).code == 0
    assert len(pd.read_parquet(plain / "metrics.parquet")) == 9


def test_images_that_were_not_kept_are_made_again(with_features: Path, bare: Path) -> None:
    result = bench("metrics", bare, "--add", "frechet_judge")
    assert result.code == 0, result.err
    assert "24 images were made again from their recipes, all with the run's pixels where known" in result.words
    found, expected = (stored_features(run, FrechetJudge()) for run in (bare, with_features))
    assert found.keys() == expected.keys()
    for trial, row in expected.items():
        assert found[trial] == pytest.approx(row, rel=1e-4, abs=1e-5)


def test_images_that_come_out_otherwise_are_told(bare: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(bare, tmp_path / "run", ignore=shutil.ignore_patterns("features", FILE)))
    part = sorted((run / "trials").iterdir())[0]
    table = pq.read_table(part)
    digests = pa.array(["0" * 64, *table["image_sha256"].to_pylist()[1:]])
    pq.write_table(table.set_column(table.column_names.index("image_sha256"), "image_sha256", digests), part)
    result = bench("metrics", run, "--add", "frechet_judge")
    assert "24 images were made again from their recipes; 1 have other pixels than the run's" in result.words


@pytest.fixture
def dying(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Raise an error before every third part is written, twice in all; the list counts how often it still will."""
    lives, writes, write = [2], [0], module.Featuring._write

    def one(self: Any, *given: Any) -> None:
        writes[0] += 1
        if writes[0] % 3 == 0 and lives[0]:
            lives[0] -= 1
            raise EngineError("killed")
        write(self, *given)

    monkeypatch.setattr(module.Featuring, "_write", one)
    yield lives
    assert lives == [0]


def test_who_is_killed_goes_on_and_computes_nothing_twice(
    plain: Path, with_features: Path, dying: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = store.parts(store.place(plain))
    assert len(parts) > 4
    looked: list[int] = []
    extract = module.extract

    def counted(name: str, metric: Any, images: Any) -> Any:
        looked.append(len(images))
        return extract(name, metric, images)

    monkeypatch.setattr(module, "extract", counted)
    for _ in range(2):
        refused("killed", "metrics", plain, "--add", FID, code=1)
    assert not (plain / FILE).exists()
    result = bench("metrics", plain, "--add", FID, "--batch", "4")
    assert result.code == 0, result.err
    assert re.search(r" ([1-9]|1\d) were there", result.words)
    assert stored_features(plain, FrechetJudge()).keys() == stored_features(with_features, FrechetJudge()).keys()
    assert set(looked) == {4, 64}
    values = pd.read_parquet(plain / "metrics.parquet")["value"].to_numpy()
    assert values == pytest.approx(pd.read_parquet(with_features / "metrics.parquet")["value"].to_numpy(), rel=1e-3)


def test_what_a_part_lacks_is_added_to_it(with_features: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(with_features, tmp_path / "run")
    [path] = list((copy / "features").glob("*"))[:1]
    whole = pq.read_table(path)
    pq.write_table(whole.slice(1), path)
    result = bench("metrics", copy)
    assert "1 computed, 23 were there" in result.words
    assert stored_features(copy, FrechetJudge()).keys() == stored_features(with_features, FrechetJudge()).keys()
    pq.write_table(features.table(FrechetJudge().extractor, {"x": np.zeros(3, np.float32)}), path)
    refused("stored features of cifar10-judge", "metrics", copy)


def test_code_and_files_of_the_user_s_own_need_no_trust_and_those_of_the_folder_do(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "real").mkdir()
    for number in range(9):
        pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "real" / f"{number}.png")
    kid = f"{{name: kid, features: judge, reference: {tmp_path / 'real'}}}"
    assert bench("metrics", plain, "--add", OWN, "--add", kid).code == 0
    assert len(json.loads((plain / FILE).read_text())) == 2
    assert bench("metrics", plain, "--add", OWN, "--add", kid).code == 0
    assert len(json.loads((plain / FILE).read_text())) == 2
    refused("names code, a file or an address (metrics.", "metrics", plain)
    assert "no metrics: " in bench("curves", plain).words
    assert bench("metrics", plain, "--trust").code == 0
    assert len(pd.read_parquet(plain / "metrics.parquet")) == 6
    (plain / FILE).write_text("{")
    refused("metrics-added.json is damaged", "metrics", plain)


def test_mistakes_are_one_line(plain: Path, tmp_path: Path) -> None:
    refused("names no metrics; name some with --add", "metrics", plain)
    refused("did you mean 'fid'?", "metrics", plain, "--add", "fidd")
    refused("--add [fid]: is neither a metric's name nor", "metrics", plain, "--add", "[fid]")
    refused("not a results folder", "metrics", tmp_path)
    assert bench("metrics", plain, "--add", FID).code == 0
    refused("has another fid already", "metrics", plain, "--add", "{name: fid, features: judge, reference: x.npz}")
    assert list(named(METRICS, json.loads((plain / FILE).read_text()))) == ["fid"]
    assert os.listdir(plain / "features") != []


@pytest.mark.parametrize(("owner", "call"), [(LocalStorage, "claim"), (LocalLease, "renew")])
def test_a_folder_that_may_not_be_written_to_is_one_line(
    owner: type, call: str, plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")  # root may write everywhere

    monkeypatch.setattr(owner, call, denied)
    refused(f"output {plain}: cannot be written to (Permission denied)", "metrics", plain, "--add", FID)


def test_a_disk_that_is_full_at_the_end_is_one_line(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = LocalStorage.write

    def full(self: LocalStorage, name: str, data: bytes) -> None:
        if name == FILE:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, name, data)

    monkeypatch.setattr(LocalStorage, "write", full)
    result = bench("metrics", plain, "--add", FID)
    assert result.code == 2
    assert result.err.endswith(f"left\nerror: output {plain}: cannot be written to (No space left on device)\n")
    monkeypatch.undo()
    assert "0 computed, 24 were there" in bench("metrics", plain, "--add", FID).words


@pytest.mark.parametrize(
    ("device", "gpus", "message"),
    [
        ("cuda", 0, "--device cuda: torch finds no GPU; leave it out, or give --device cpu"),
        ("cuda:2", 2, "--device cuda:2: the last GPU that torch finds is cuda:1"),
        ("foo", 1, "--device foo: is none of auto, cpu, cuda and cuda:N"),
        ("cuda:x", 1, "--device cuda:x: is none of"),
        ("meta", 1, "--device meta: is none of"),
    ],
)
def test_a_device_that_is_not_there_is_refused_before_anything_is_loaded(
    device: str, gpus: int, message: str, plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(module.Featuring, "run", lambda *_: pytest.fail("begun"))
    refused(message, "metrics", plain, "--add", FID, "--device", device)


def test_a_device_that_is_there_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [chosen_device(name) for name in ("auto", "cpu", "cuda", "cuda:1")] == ["cuda", "cpu", "cuda", "cuda:1"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert [chosen_device(name) for name in ("auto", "cpu")] == ["cpu", "cpu"]
