"""References of real images: each published form is read, other contents are refused, and computed moments are kept."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tts.errors import DataError, SettingError, WeightsError
from tts.files import weights_file
from tts.metrics.extractors.inception import Inception
from tts.metrics.extractors.judge import Judge
from tts.metrics.fid import FID, SFID
from tts.metrics.kid import KID
from tts.metrics.manifolds import Recall
from tts.metrics.references import computed, published
from tts.metrics.references import images as module
from tts.metrics.references.sample import drawn
from tts.registry import METRICS
from tts.training.frechet import frechet_distance, load_rows, moments

PIXELS = np.random.default_rng(0).integers(0, 256, (7, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TTS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "references"


def statistics(size: int, seed: int) -> dict[str, np.ndarray]:
    own = np.random.default_rng(seed)
    return {"mu": own.normal(size=size), "sigma": np.eye(size) * (1 + seed)}


def adm(path: Path) -> Path:
    """A file in the form of guided diffusion's authors."""
    pooled, spatial = statistics(2048, 0), statistics(2023, 1)
    moments_ = {"mu": pooled["mu"], "sigma": pooled["sigma"], "mu_s": spatial["mu"], "sigma_s": spatial["sigma"]}
    np.savez(path, arr_0=PIXELS, **moments_)  # type: ignore[arg-type]
    return path


def folder(path: Path) -> Path:
    (path / "of" / "classes").mkdir(parents=True)
    for number, pixels in enumerate(PIXELS):
        Image.fromarray(pixels).save(path / ("of" if number % 2 else "of/classes") / f"{number}.png")
    (path / "of" / "notes.txt").write_text("no image")
    return path


def archive(path: Path) -> Path:
    source = folder(path.parent / "source")
    files = [file for file in source.rglob("*") if file.is_file()]
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as made:
            for file in files:
                made.write(file, file.relative_to(source))
    else:
        with tarfile.open(path, "w:gz") as tar:
            for file in files:
                tar.add(file, str(file.relative_to(source)))
    return path


def test_adm_s_and_edm_s_files_of_moments_are_read(tmp_path: Path) -> None:
    path = adm(tmp_path / "VIRTUAL_imagenet64_labeled.npz")
    fid, sfid = FID(reference=str(path)).reference(), SFID(reference=str(path)).reference()
    np.testing.assert_array_equal(fid.mean, statistics(2048, 0)["mu"])
    np.testing.assert_array_equal(sfid.covariance, statistics(2023, 1)["sigma"])
    np.savez(tmp_path / "imagenet-64x64.npz", **statistics(2048, 3))  # type: ignore[arg-type]
    edm = FID(reference=str(tmp_path / "imagenet-64x64.npz"))
    np.testing.assert_array_equal(edm.reference().mean, statistics(2048, 3)["mu"])
    with pytest.raises(SettingError, match=r"holds moments .* of inception-v3-compat \(pooled\), and none of "):
        published.moments(tmp_path / "imagenet-64x64.npz", Inception(), "spatial")
    with pytest.raises(SettingError, match=r"and none of cifar10-judge \(pooled\); set features to the extractor"):
        FID(features="judge", reference=str(path)).check()


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_edm2_s_pickles_of_moments_are_read(tmp_path: Path, protocol: int) -> None:
    both = {"fid": {**statistics(2048, 2), "num_images": 7}, "fd_dinov2": statistics(1024, 3)}
    path = tmp_path / "imagenet-64x64.pkl"
    path.write_bytes(pickle.dumps(both, protocol))
    np.testing.assert_array_equal(FID(reference=str(path)).reference().mean, both["fid"]["mu"])
    path.write_bytes(pickle.dumps({name: np.asfortranarray(rows) for name, rows in both["fid"].items()}, protocol))
    np.testing.assert_array_equal(FID(reference=str(path)).reference().covariance, both["fid"]["sigma"])
    with pytest.raises(SettingError, match="and none of cifar10-judge"):
        FID(features="judge", reference=str(path)).reference()


class _Hostile:
    def __reduce__(self) -> Any:
        return os.mkdir, ("ran",)


def test_a_file_is_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "bad.pkl"
    path.write_bytes(pickle.dumps({"fid": _Hostile()}))
    with pytest.raises(DataError, match=r"refused, because it names 'posix.mkdir', .* nothing in it was executed"):
        FID(reference=str(path)).reference()
    wide: list[Any] = []
    for _ in range(7):
        wide = [wide] * 1000  # each level is a few bytes of the file
    path.write_bytes(pickle.dumps({"fid": wide}))
    with pytest.raises(DataError, match=r"it stands for more than 1000000 values"):
        FID(reference=str(path)).reference()
    np.savez(tmp_path / "bad.npz", mu=np.array([_Hostile()]), sigma=np.zeros(1))
    with pytest.raises(DataError, match=r"reference .*bad.npz: damaged, or holds more than numbers"):
        FID(reference=str(tmp_path / "bad.npz")).reference()
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"no archive", "damaged, or no .npz file"),
        ({"mu": np.zeros(5), "sigma": np.zeros((5, 5))}, r"mean and covariance are \[5\] and \[5, 5\]"),
        ({"mu": np.full(2048, np.nan), "sigma": np.zeros((2048, 2048))}, "not finite"),
        ({"arr_0": np.zeros((3, 4, 4), np.uint8)}, r"arr_0 must be \[N, H, W, 3\] uint8, and is uint8 \[3, 4, 4\]"),
        ({"images": np.zeros(3)}, r"holds no images \(arr_0\)"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, content: Any, message: str) -> None:
    path = tmp_path / "reference.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.savez(path, **content)
    features = "judge" if "arr_0" in message else "inception"
    metric: Any = METRICS.make({"name": "fid", "reference": str(path), "features": features})[1]
    with pytest.raises(DataError, match=message):
        metric.reference()


def test_a_missing_reference_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Inception, "check", lambda self: None)
    for kind, named in ((FID, "a file of moments"), (KID, "a folder")):
        message = f"reference: is missing; for pooled features of inception-v3-compat, name {named}"
        with pytest.raises(SettingError, match=message):
            kind().check()


@pytest.mark.parametrize("form", ["folder", "zip", "tar.gz", "npz"])
def test_images_of_every_form_are_looked_at_once(
    tmp_path: Path, cache: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {"folder": folder, "npz": adm}.get(form, archive)(tmp_path / f"images.{form}")
    kid = KID(features="judge", reference=str(made), real_images=100)
    kid.check()
    found = kid.reference().rows
    with torch.inference_mode():
        expected = kid.load().features(torch.from_numpy(PIXELS.transpose(0, 3, 1, 2).copy())).numpy()
    order = np.argsort(found[:, 0]), np.argsort(expected[:, 0])
    np.testing.assert_allclose(found[order[0]], expected[order[1]], rtol=1e-4, atol=1e-5)
    if form != "npz":  # an npz file holds its moments
        whole = FID(features="judge", reference=str(made)).reference()
        np.testing.assert_allclose(whole.covariance, moments(expected).covariance, rtol=1e-3, atol=1e-6)
        assert whole.n == 7
    monkeypatch.setattr(computed, "_features", None)
    np.testing.assert_array_equal(kid.reference().rows, found)
    assert len(list(cache.glob("*.npz"))) == (1 if form == "npz" else 2)
    assert kid.identity()["reference"] == computed.digest(made)


def test_some_images_are_drawn(tmp_path: Path) -> None:
    path = adm(tmp_path / "some.npz")
    some = Recall(features="judge", reference=str(path), real_images=3).reference().rows
    whole = Recall(features="judge", reference=str(path)).reference().rows
    np.testing.assert_allclose(some, whole[drawn(7, 3)], rtol=1e-4, atol=1e-6)


def test_drawn_images_are_of_all_classes_though_these_take_turns() -> None:
    """Every fifth image would be of only two classes, as the ten classes alternate."""
    found = drawn(50_000, 10_000)
    counts = np.bincount(found % 10)
    assert len(set(found.tolist())) == 10_000
    assert (np.diff(found) > 0).all()
    assert counts.min() > 900
    assert counts.max() < 1100
    assert drawn(5, None).tolist() == drawn(5, 9).tolist() == [0, 1, 2, 3, 4]


def test_the_judge_comes_with_its_references() -> None:
    """Features of 10,000 real images and the shipped moments agree as closely as chance allows."""
    kid = KID(features="judge")
    for metric in (FID(features="judge"), kid):
        metric.check()
    rows = kid.reference().rows
    assert rows.shape == (10_000, 192)
    assert frechet_distance(moments(rows), FID(features="judge").reference()) < 0.02
    assert len(KID(features="judge", real_images=500).reference()) == 500
    assert kid.identity()["reference"] == weights_file.digest(Judge.rows)
    assert kid.identity()["reference"] != FID(features="judge").identity()["reference"]
    with pytest.raises(WeightsError, match="of another network's features"):
        load_rows(Judge.rows, "another")
    with pytest.raises(WeightsError, match="lacks features"):
        load_rows(Judge.moments, weights_file.digest(Judge.weights))


def test_references_that_are_not_there_are_named() -> None:
    with pytest.raises(DataError, match=r"reference nowhere.tar: no such file or folder"):
        FID(features="judge", reference="nowhere.tar").check()


def test_images_of_several_sizes_and_damaged_ones(tmp_path: Path) -> None:
    source = folder(tmp_path / "images")
    Image.fromarray(np.zeros((40, 36), np.uint8)).save(source / "a-grey.jpg")
    assert KID(features="judge", reference=str(source)).reference().rows.shape == (8, 192)
    (source / "b-bad.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"its images cannot be read \(.*b-bad.png is no image\)"):
        computed.vectors(source, Judge(), "pooled", 100)
    with pytest.raises(DataError, match="ends too early"), module.opened(_cut(tmp_path)) as (count, read):
        read(count - 1)


def _cut(path: Path) -> Path:
    buffer = io.BytesIO()
    np.save(buffer, PIXELS)
    with zipfile.ZipFile(path / "cut.npz", "w") as made:
        made.writestr("arr_0.npy", buffer.getvalue()[:-5])
    return path / "cut.npz"
