"""Normals, uniforms and directions by seed, for many seeds at once; :mod:`tts.normals` for any device.

The values of a seed do not depend on the seeds beside it, and its first values do not depend on how many are made.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tts.device_noise.philox import words
from tts.device_noise.quantile import normals

NORMAL, UNIFORM = 0, 1
"""Numbers of the streams of words."""

CACHED, HELD = 1 << 14, 1 << 22
"""Number of values that are made at once: on a CPU as many as fit its cache, on a GPU as many as need little memory."""

MILLION_SHA256 = "cabeeda8f589bb36fd23279cef0ebd9e5b8d1b8a8451a63135fff274ad9f0f9a"
"""Digest of the 10**6 normals of :func:`million` in little-endian bytes, which is the same on every device."""


def normal(seeds: Tensor, size: int) -> Tensor:
    """Independent standard normals by seed, ``[K, size]`` float32; seeds are in [0, 2**63), ``[K]`` int64."""
    parts = torch.split(seeds, max(1, (HELD if seeds.is_cuda else CACHED) // size))
    return torch.cat([normals(words(some, size, NORMAL)) for some in parts])


def uniform(seeds: Tensor, size: int) -> Tensor:
    """Independent uniforms in (0, 1) by seed, ``[K, size]`` float64, never 0 or 1: 32 bits each."""
    return (words(seeds, size, UNIFORM).double() + 0.5) * 2.0**-32


def direction(seeds: Tensor, size: int) -> Tensor:
    """Random directions scaled to length sqrt(size), ``[K, size]`` float32; uniform on the sphere."""
    return to_length(normal(seeds, size))


def to_length(rows: Tensor) -> Tensor:
    """Rows ``[K, size]`` scaled to length sqrt(size), float32; a row of zeros becomes NaN."""
    wide = rows.double()
    return (wide / (total(wide * wide) * (1 / rows.shape[1])).sqrt()[:, None]).float()


def total(values: Tensor) -> Tensor:
    """The pairwise sum over the last axis, in the same order on every device."""
    size = values.shape[-1]
    if missing := (1 << math.ceil(math.log2(size))) - size:
        values = torch.cat([values, values.new_zeros(*values.shape[:-1], missing)], -1)
    while (size := values.shape[-1]) > 1:
        values = values[..., : size // 2] + values[..., size // 2 :]
    return values[..., 0]


def million(device: torch.device | str) -> Tensor:
    """10**6 normals, of 8 seeds."""
    seeds = torch.tensor([(1 << 63) // 8 * k + k for k in range(8)], device=device)
    return normal(seeds, 125_000).flatten()
