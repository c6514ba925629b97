"""Batches of one size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


def pad(rows: Sequence[Tensor], size: int) -> Tensor:
    """Rows as one batch ``[size, ...]``, padded with copies of the first row."""
    return torch.stack(padded(rows, size))


def pad_images(images: Sequence[Tensor], size: int) -> Tensor:
    """:func:`pad` for images ``[C, H, W]``, in the memory layout in which they were decoded.

    For another layout, kernels may sum in another order.
    """
    layout = torch.channels_last if images[0].stride(0) == 1 else torch.contiguous_format
    return pad(images, size).contiguous(memory_format=layout)


def padded(rows: Sequence[T], size: int) -> list[T]:
    """Rows, padded to a size with copies of the first one."""
    return [*rows, *[rows[0]] * (size - len(rows))]
