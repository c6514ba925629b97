"""Convolutions and matrix products for GPUs whose rows do not depend on the rows beside them.

cuDNN's convolutions divide a sum among processors by the output's position in a batch, so a row's last bits depend on
its position: on an H200, this held for every convolutional network that was tried, in every precision. Here every
output is one sum in one fixed order, whatever the batch, so that results can be repeated anywhere.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import register_flop_formula

from tts.networks.resampling import resampling
from tts.networks.song import Resampled


@functools.cache
def _kernel() -> Any:
    """The kernel; imports triton, which only machines with GPUs need."""
    import triton
    import triton.language as tl

    @triton.jit  # type: ignore[untyped-decorator]
    def convolve(  # type: ignore[no-untyped-def]
        x, w, bias, y, rows, height, width, channels, outs, high, wide,
        stride: tl.constexpr, pad_h: tl.constexpr, pad_w: tl.constexpr, kernel_h: tl.constexpr, kernel_w: tl.constexpr,
        biased: tl.constexpr, precision: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
    ):  # fmt: skip
        tiles = (outs + BN - 1) // BN  # neighbours read the same rows, which are then cached
        at = tl.program_id(0) // tiles * BM + tl.arange(0, BM)
        out = tl.program_id(0) % tiles * BN + tl.arange(0, BN)
        across, rest = at % wide, at // wide
        down, image = rest % high, rest // high
        total = tl.zeros((BM, BN), dtype=tl.float32)
        for place in range(kernel_h * kernel_w):
            h = down * stride - pad_h + place // kernel_w
            v = across * stride - pad_w + place % kernel_w
            inside = (at < rows) & (h >= 0) & (h < height) & (v >= 0) & (v < width)
            base = x + ((image * height + h) * width + v).to(tl.int64) * channels
            for first in range(0, channels, BK):
                c = first + tl.arange(0, BK)
                a = tl.load(base[:, None] + c[None, :], mask=inside[:, None] & (c < channels)[None, :], other=0.0)
                b = tl.load(
                    w + (place * channels + c).to(tl.int64)[:, None] * outs + out[None, :],
                    mask=(c < channels)[:, None] & (out < outs)[None, :],
                    other=0.0,
                )
                total = tl.dot(a, b, total, input_precision=precision)
        if biased:
            total += tl.load(bias + out, mask=out < outs, other=0.0).to(tl.float32)[None, :]
        where = y + at.to(tl.int64)[:, None] * outs + out[None, :]
        tl.store(where, total.to(y.dtype.element_ty), mask=(at < rows)[:, None] & (out < outs)[None, :])

    return convolve


@torch.library.custom_op("tts::convolution", mutates_args=())
def convolution(
    x: Tensor, weight: Tensor, bias: Tensor | None, kernel: list[int], stride: int, padding: list[int]
) -> Tensor:
    """A convolution in one fixed order of summation.

    Args:
        x: ``[B, C, H, W]``.
        weight: ``[kernel height * kernel width * C, O]``, of ``x``'s dtype.
        bias: ``[O]``.
        kernel: height and width.
        stride: in height and width.
        padding: zeros added in height and width.

    Returns:
        ``[B, O, H', W']``, its channels last in memory.
    """
    import triton

    x = x.contiguous(memory_format=torch.channels_last)
    y: Tensor = _answer(x, weight, bias, kernel, stride, padding)
    batch, outs, high, wide = y.shape
    single = x.dtype == torch.float32
    rows, (wide_n, wide_k) = batch * high * wide, ((64, 32) if single else (128, 64))
    wide_n = 64 if outs <= 64 else wide_n
    wide_k = min(wide_k, max(16, triton.next_power_of_2(x.shape[1])))
    _kernel()[(triton.cdiv(rows, 128) * triton.cdiv(outs, wide_n),)](
        x, weight, weight if bias is None else bias, y, rows, x.shape[2], x.shape[3], x.shape[1], outs, high, wide,
        stride=stride, pad_h=padding[0], pad_w=padding[1], kernel_h=kernel[0], kernel_w=kernel[1],
        biased=bias is not None, precision="tf32" if single and torch.backends.cudnn.allow_tf32 else "ieee",
        BM=128, BN=wide_n, BK=wide_k, num_warps=8 if wide_n == 128 else 4, num_stages=3,
    )  # fmt: skip
    return y


@convolution.register_fake
def _answer(
    x: Tensor, weight: Tensor, bias: Tensor | None, kernel: list[int], stride: int, padding: list[int]
) -> Tensor:
    """An output of the right shape, without values."""
    high, wide = (
        (side + 2 * pad - size) // stride + 1 for side, pad, size in zip(x.shape[2:], padding, kernel, strict=True)
    )
    shape = (x.shape[0], weight.shape[1], high, wide)
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)


@register_flop_formula(torch.ops.tts.convolution)
def _flops(x: Any, weight: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
    """FLOPs of a convolution; a multiply-add counts two."""
    batch, _, high, wide = out_shape
    return int(2 * batch * high * wide * weight[0] * weight[1])


class InvariantConv2d(nn.Conv2d):
    """A convolution whose weights have the usual shape, and the memory layout that the kernel reads."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        found: Tensor = convolution(input, _packed(weight), bias, [*self.kernel_size], self.stride[0], [*self.padding])
        return found


class InvariantResampled(Resampled):
    """A convolution of SongUNet at another resolution; its filter is applied in a fixed order as well."""

    def _convolved(self, x: Tensor, bias: Tensor | None, padding: int) -> Tensor:
        found: Tensor = convolution(x, _packed(self.weight), bias, [*self.weight.shape[2:]], 1, [padding] * 2)
        return found

    def _filtered(self, x: Tensor, padding: int) -> Tensor:
        found: Tensor = resampling(x, self.resample_filter[0, 0], self.change == "up", padding)
        return found


class InvariantLinear(nn.Linear):
    """A matrix product, computed as a 1x1 convolution."""

    def forward(self, input: Tensor) -> Tensor:
        """``[..., in]`` to ``[..., out]``."""
        cells = input.reshape(-1, self.in_features, 1, 1)
        found: Tensor = convolution(cells, self.weight.t(), self.bias, [1, 1], 1, [0, 0])
        return found.reshape(*input.shape[:-1], self.out_features)


def _packed(weight: Tensor) -> Tensor:
    """Weights ``[O, C, h, w]`` as the kernel reads them; no copy of weights that :func:`_lay_out` has laid out."""
    return weight.permute(2, 3, 1, 0).reshape(-1, len(weight))


def _lay_out(weight: Tensor) -> None:
    weight.data = weight.data.permute(2, 3, 1, 0).contiguous().permute(3, 2, 0, 1)


def make_invariant(network: nn.Module, products: bool = False) -> None:
    """Replace a network's convolutions (and matrix products) by the invariant ones, in place.

    Replaced are the modules of exactly the classes ``nn.Conv2d``, SongUNet's ``Resampled`` and, with ``products``,
    ``nn.Linear``. All others stay as they are: grouped, dilated and transposed convolutions, those of one or three
    dimensions or with other padding than zeros, and those that another module computes by a function.
    """
    for module in network.modules():
        if type(module) is nn.Conv2d and _plain(module):
            module.__class__ = InvariantConv2d
            _lay_out(module.weight)
        elif type(module) is Resampled:
            module.__class__ = InvariantResampled
            _lay_out(module.weight)
        elif products and type(module) is nn.Linear:
            module.__class__ = InvariantLinear
            module.weight.data = module.weight.data.t().contiguous().t()


def _plain(module: nn.Conv2d) -> bool:
    one = module.groups == 1 and module.dilation == (1, 1) and module.padding_mode == "zeros"
    return one and not isinstance(module.padding, str) and module.stride[0] == module.stride[1]
