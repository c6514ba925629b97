"""CIFAR-10 (Krizhevsky 2009) as uint8 tensors, from Parquet files or from torchvision."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tts.errors import DataError

SIDE, CLASSES = 32, 10


class Images(NamedTuple):
    """Images ``[N, 3, 32, 32]`` uint8 and labels ``[N]`` int64."""

    pixels: Tensor
    labels: Tensor


def cifar10(folder: Path, split: str) -> Images:
    """One split of CIFAR-10.

    Args:
        folder: holds ``cifar10_train.parquet`` and ``cifar10_test.parquet`` (columns ``image``: encoded bytes,
            or the hub's structs that hold them, ``label``: 0..9), or is the root of ``torchvision.datasets.CIFAR10``.
        split: ``"train"`` or ``"test"``.

    Raises:
        DataError: the folder holds neither form, or other images.
    """
    parquet = folder / f"cifar10_{split}.parquet"
    if parquet.exists():
        return _from_parquet(parquet)
    from torchvision.datasets import CIFAR10

    try:
        data = CIFAR10(str(folder), train=split == "train")
    except RuntimeError as error:
        raise DataError(
            f"--data {folder}: neither {parquet.name} nor torchvision's CIFAR10 files are in this folder"
        ) from error
    return Images(torch.from_numpy(data.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(data.targets))


def _from_parquet(path: Path) -> Images:
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, columns=["image", "label"])
        pixels = torch.from_numpy(np.stack([_decoded(image) for image in table["image"].to_pylist()]))
        labels = torch.tensor(table["label"].to_pylist())
    except Exception as error:  # a foreign file can make anything of Arrow, Pillow and torch
        raise DataError(f"{path}: not a Parquet file with the columns 'image' (encoded bytes) and 'label'") from error
    known = labels.dtype == torch.int64 and bool(((labels >= 0) & (labels < CLASSES)).all())
    if pixels.shape[1:] != (SIDE, SIDE, 3) or not known:
        raise DataError(f"{path}: not CIFAR-10; its images must be {SIDE} x {SIDE}, its labels 0 to {CLASSES - 1}")
    return Images(pixels.permute(0, 3, 1, 2).contiguous(), labels)


def _decoded(image: Any) -> NDArray[np.uint8]:
    """The pixels of an encoded image, or of a row of the hub's, ``{"bytes": ..., "path": ...}``."""
    from PIL import Image

    with Image.open(io.BytesIO(image["bytes"] if isinstance(image, dict) else image)) as found:
        return np.asarray(found.convert("RGB"))


def to_unit(pixels: Tensor) -> Tensor:
    """uint8 in 0..255 to float32 in [-1, 1]."""
    return pixels.float() / 127.5 - 1


def flip(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Each image mirrored left to right with probability 1/2."""
    chosen = (torch.rand(len(pixels), generator=generator) < 0.5).to(pixels.device)
    return torch.where(chosen[:, None, None, None], pixels.flip(-1), pixels)


def shift(pixels: Tensor, generator: torch.Generator, by: int = 4) -> Tensor:
    """Each image shifted by up to ``by`` pixels in both directions, the border reflected."""
    n, _, height, width = pixels.shape
    padded = torch.nn.functional.pad(pixels.float(), (by,) * 4, mode="reflect").to(pixels.dtype)
    top, left = torch.randint(0, 2 * by + 1, (2, n, 1), generator=generator)
    rows, columns = ((first + torch.arange(size)).to(pixels.device) for first, size in ((top, height), (left, width)))
    batch = torch.arange(n, device=pixels.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def tint(pixels: Tensor, generator: torch.Generator, by: float = 0.2) -> Tensor:
    """Each image's contrast scaled by up to ``1 +- by`` about grey, and each channel moved by up to ``by`` of 64."""
    n = len(pixels)
    gain = 1 + by * (2 * torch.rand(n, 1, 1, 1, generator=generator) - 1)
    move = 64 * by * (2 * torch.rand(n, 3, 1, 1, generator=generator) - 1)
    gain, move = gain.to(pixels.device), move.to(pixels.device)
    return (gain * (pixels.float() - 127.5) + 127.5 + move).round().clamp(0, 255).to(pixels.dtype)


def cut(pixels: Tensor, generator: torch.Generator, reach: int = 4) -> Tensor:
    """A grey square of ``2 reach - 1`` pixels around a random place of each image.

    DeVries and Taylor 2017, arXiv 1708.04552.
    """
    n, _, height, width = pixels.shape
    y, x = torch.randint(0, height, (2, n, 1), generator=generator)
    rows, columns = (torch.arange(height) - y).abs() < reach, (torch.arange(width) - x).abs() < reach
    return pixels.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None].to(pixels.device), 127)
