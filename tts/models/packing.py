"""Latents as the tokens of a transformer, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def pack(x: Tensor) -> Tensor:
    """Latents ``[B, C, h, w]`` as tokens of 2x2 cells each, ``[B, hw/4, 4C]``."""
    rows, channels, height, width = x.shape
    cells = x.view(rows, channels, height // 2, 2, width // 2, 2)
    return cells.permute(0, 2, 4, 1, 3, 5).reshape(rows, height * width // 4, 4 * channels)


def unpack(tokens: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The inverse of :func:`pack`, to ``[B, *shape]``."""
    channels, height, width = shape
    cells = tokens.reshape(len(tokens), height // 2, width // 2, channels, 2, 2)
    return cells.permute(0, 3, 1, 4, 2, 5).reshape(len(tokens), channels, height, width)


def places(height: int, width: int, axes: int, device: object) -> Tensor:
    """Coordinates of tokens, ``[height * width, axes]`` float32: second is the row, third the column, the others 0."""
    import torch

    found = torch.zeros(height, width, axes, device=device)  # type: ignore[call-overload]
    found[..., 1] += torch.arange(height, device=device)[:, None]  # type: ignore[call-overload]
    found[..., 2] += torch.arange(width, device=device)  # type: ignore[call-overload]
    flat: Tensor = found.view(height * width, axes)
    return flat


def patch_norm(x: Tensor) -> Tensor:
    """Norm of each token of :func:`pack`, repeated at its four cells, ``[B, 1, h, w]``."""
    tokens = pack(x)
    lengths = tokens.norm(dim=-1, keepdim=True).expand(-1, -1, 4)
    return unpack(lengths, (1, *x.shape[2:]))
