"""Changes of resolution by a small filter, whose rows do not depend on the rows beside them.

A library's kernel for such a convolution may add in another order in another batch. Here slices of the images are
multiplied and added one filter tap after the other, each time by an operation on single elements.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.utils.flop_counter import register_flop_formula


@torch.library.custom_op("tts::resampling", mutates_args=())
def resampling(x: Tensor, taps: Tensor, up: bool, padding: int) -> Tensor:
    """Each channel at twice or half the resolution; sums are float32.

    Args:
        x: ``[B, C, h, w]``.
        taps: the filter, ``[k, k]``; ``up`` takes it four times, so that means stay the same.
        up: whether to double the resolution.
        padding: zeros added on each side before the filter, or, if ``up``, rows and columns left out after it.

    Returns:
        ``[B, C, h', w']`` of ``x``'s dtype.
    """
    return (_spread if up else _gathered)(x.float(), taps.float(), padding).to(x.dtype)


@resampling.register_fake
def _answer(x: Tensor, taps: Tensor, up: bool, padding: int) -> Tensor:
    """An output of the right shape; as no step looks at values, they are the same steps."""
    return (_spread if up else _gathered)(x.float(), taps.float(), padding).to(x.dtype)


def _gathered(x: Tensor, taps: Tensor, padding: int) -> Tensor:
    """Sums of the pixels below the filter, at every second place."""
    x, size = pad(x, [padding] * 4), len(taps)
    high, wide = ((side - size) // 2 + 1 for side in x.shape[2:])
    total = _zeros(x, high, wide)
    for i, j in product(range(size), repeat=2):
        total += taps[i, j] * x[:, :, i : i + 2 * high - 1 : 2, j : j + 2 * wide - 1 : 2]
    return total


def _spread(x: Tensor, taps: Tensor, padding: int) -> Tensor:
    """Sums of the filters that are laid around every pixel, two places apart."""
    (high, wide), size = x.shape[2:], len(taps)
    total = _zeros(x, 2 * high - 2 + size, 2 * wide - 2 + size)
    for i, j in product(range(size), repeat=2):
        total[:, :, i : i + 2 * high - 1 : 2, j : j + 2 * wide - 1 : 2] += 4 * taps[i, j] * x
    return total[:, :, padding : total.shape[2] - padding, padding : total.shape[3] - padding]


def _zeros(x: Tensor, high: int, wide: int) -> Tensor:
    """Zeros whose channels are last in memory, as the convolutions read and write them."""
    shape = (*x.shape[:2], high, wide)
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last).zero_()


@register_flop_formula(torch.ops.tts.resampling)
def _flops(x: Any, taps: Any, up: bool, *_: Any, out_shape: Any = None, **__: Any) -> int:
    """FLOPs as of the convolution, or transposed convolution, of torch; a multiply-add counts two."""
    batch, channels, high, wide = x if up else out_shape
    return int(2 * batch * channels * high * wide * taps[0] * taps[1])
