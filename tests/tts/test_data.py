"""The training set in both of its file forms, and its augmentations."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from broken_png import broken
from PIL import Image
from torch import Tensor
from torchvision.datasets import CIFAR10

from tts.errors import DataError
from tts.training.data import cifar10, cut, flip, shift, tint, to_unit


def pictures(count: int, seed: int = 0) -> np.ndarray:
    """``[N, 32, 32, 3]`` random bytes."""
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def encoded(picture: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


def write_parquet(folder: Path, split: str, values: np.ndarray, hub: bool = False) -> None:
    images = [{"bytes": encoded(value), "path": None} if hub else encoded(value) for value in values]
    columns = {"image": images, "label": [k % 10 for k in range(len(values))]}
    pq.write_table(pa.table(columns), folder / f"cifar10_{split}.parquet")


def write_batch(path: Path, values: np.ndarray) -> None:
    """One batch in the form of the original archive: rows of all red, then all green, then all blue pixels."""
    rows = values.transpose(0, 3, 1, 2).reshape(len(values), -1)
    path.write_bytes(pickle.dumps({"data": rows, "labels": [k % 10 for k in range(len(values))]}))


def write_original(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files in torchvision's form with three images each; checksums are not compared."""
    base = folder / CIFAR10.base_folder
    base.mkdir()
    for attribute in ("train_list", "test_list"):
        names = [name for name, _ in getattr(CIFAR10, attribute)]
        monkeypatch.setattr(CIFAR10, attribute, [(name, None) for name in names])
        for k, name in enumerate(names):
            write_batch(base / name, pictures(3, seed=k))
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": None})
    (base / CIFAR10.meta["filename"]).write_bytes(pickle.dumps({CIFAR10.meta["key"]: list("abcdefghij")}))


@pytest.mark.parametrize("hub", [False, True], ids=["bytes", "the hub's structs"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_reads_parquet(tmp_path: Path, split: str, hub: bool) -> None:
    write_parquet(tmp_path, split, pictures(12), hub)
    images = cifar10(tmp_path, split)
    assert np.array_equal(images.pixels.permute(0, 2, 3, 1).numpy(), pictures(12))
    assert images.labels.tolist() == [k % 10 for k in range(12)]
    assert (images.pixels.dtype, images.labels.dtype) == (torch.uint8, torch.int64)


@pytest.mark.parametrize(("split", "count"), [("train", 15), ("test", 3)])
def test_reads_torchvisions_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, split: str, count: int) -> None:
    write_original(tmp_path, monkeypatch)
    images = cifar10(tmp_path, split)
    assert images.pixels.shape == (count, 3, 32, 32)
    assert np.array_equal(images.pixels[:3].permute(0, 2, 3, 1).numpy(), pictures(3, seed=0))
    assert images.labels.tolist() == [0, 1, 2] * (count // 3)


def test_prefers_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_original(tmp_path, monkeypatch)
    write_parquet(tmp_path, "test", pictures(7))
    assert len(cifar10(tmp_path, "test").labels) == 7


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_folder_without_data_is_named(tmp_path: Path, split: str) -> None:
    with pytest.raises(DataError, match=f"{tmp_path.name}: neither cifar10_{split}.parquet nor torchvision"):
        cifar10(tmp_path, split)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        cifar10(tmp_path / "nowhere", "train")


def table(**columns: object) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


WHOLE = encoded(pictures(1)[0])
UNUSABLE = {
    "damaged": b"PAR1 cut short",
    "empty": b"",
    "columns": table(img=[b""], target=[0]),
    "a broken PNG": table(image=[broken(WHOLE)], label=[0]),
    "no bytes": table(image=[{"path": "1.png"}], label=[0]),
    "no label": table(image=[WHOLE], label=pa.array([None], pa.int64())),
    "a label of CIFAR-100": table(image=[WHOLE], label=[10]),
    "smaller images": table(image=[encoded(pictures(1)[0, :16])], label=[0]),
}


@pytest.mark.parametrize("content", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_an_unusable_parquet_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "cifar10_train.parquet").write_bytes(content)
    with pytest.raises(DataError, match=r"cifar10_train\.parquet"):
        cifar10(tmp_path, "train")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int = 64) -> Tensor:
    return torch.from_numpy(pictures(count)).permute(0, 3, 1, 2)


def test_to_unit_spans_minus_1_to_1() -> None:
    assert to_unit(torch.tensor([0, 255], dtype=torch.uint8)).tolist() == [-1, 1]


def test_flip_mirrors_about_half() -> None:
    before, after = images(), flip(images(), generator())
    mirrored = [torch.equal(b.flip(-1), a) for a, b in zip(after, before, strict=True)]
    same = [torch.equal(b, a) for a, b in zip(after, before, strict=True)]
    assert all(m != s for m, s in zip(mirrored, same, strict=True))
    assert 20 < sum(mirrored) < 44


def places(before: Tensor, after: Tensor, by: int) -> list[tuple[int, int]]:
    """By how much an image was moved, found by trying all shifts."""
    inner = slice(by, 32 - by)
    tried = [(y, x) for y in range(-by, by + 1) for x in range(-by, by + 1)]
    return [
        (y, x) for y, x in tried if torch.equal(after.roll((y, x), (1, 2))[:, inner, inner], before[:, inner, inner])
    ]


def test_shift_moves_each_image_by_its_own_offset() -> None:
    before, after = images(), shift(images(), generator())
    found = [places(b, a, 4) for b, a in zip(before, after, strict=True)]
    assert all(len(place) == 1 for place in found)
    assert len({place[0] for place in found}) > 25
    assert {abs(y) for [(y, _)] in found} == {abs(x) for [(_, x)] in found} == {0, 1, 2, 3, 4}


def test_shift_reflects_the_border() -> None:
    """The shift adds no new colours."""
    flat = torch.arange(64, dtype=torch.uint8).view(64, 1, 1, 1).expand(64, 3, 32, 32)
    assert torch.equal(shift(flat, generator()), flat)


def test_cut_greys_a_square() -> None:
    white = torch.full((64, 3, 32, 32), 255, dtype=torch.uint8)
    grey = cut(white, generator()) == 127
    assert torch.equal(grey[:, 0], grey[:, 1])
    sizes = grey[:, 0].sum(dim=(1, 2))
    assert sizes.max() <= 64
    assert sizes.min() >= 16
    assert len({tuple(mask.nonzero()[0].tolist()) for mask in grey[:, 0]}) > 40


def test_tint_scales_about_grey_and_moves_each_channel() -> None:
    """A grey image shows the move; the difference of two levels shows the contrast."""
    grey = torch.full((64, 3, 32, 32), 100, dtype=torch.uint8)
    grey[:, :, 16:] = 150
    after = tint(grey, generator()).float()
    assert torch.equal(after.amax(dim=3), after.amin(dim=3))
    dark, light = after[:, :, 0, 0], after[:, :, 31, 0]
    contrast = (light - dark) / 50
    assert contrast.min() >= 0.78
    assert contrast.max() <= 1.22
    assert contrast.std() > 0.08
    assert (contrast - contrast[:, :1]).abs().max() <= 0.041  # one gain for all channels, up to rounding
    middle = (light + dark) / 2
    assert (middle - 125).abs().max() <= 14
    assert (middle - middle[:, :1]).abs().max() > 8  # each channel has its own move


def test_tint_stays_in_range() -> None:
    extremes = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 3, 32, 32).repeat(32, 1, 1, 1)
    after = tint(extremes, generator())
    assert after[::2].max() < 60
    assert after[1::2].min() > 195


@pytest.mark.parametrize("change", [flip, shift, tint, cut])
def test_augmentations_keep_form_and_input_and_repeat(change: object) -> None:
    before = images()
    after = change(before, generator(3))
    assert (after.shape, after.dtype) == (before.shape, torch.uint8)
    assert torch.equal(before, images())
    assert torch.equal(after, change(before, generator(3)))
    assert not torch.equal(after, change(before, generator(4)))
