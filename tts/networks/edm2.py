r"""EDM2's magnitude-preserving network (Karras et al. 2024, arXiv 2312.02696, Fig. 21), folded.

Published layers normalise their weights at every call, multiply by gains, and mix branches by fixed shares. All of this
scales a convolution, so it is multiplied into the weights once, in float64; plain convolutions remain. Equation numbers
are the paper's; names of layers are those of the published weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, scaled_dot_product_attention, silu

from tts.errors import WeightsError
from tts.networks.constants import Exact
from tts.networks.edm2_shape import BlockShape, EDM2Shape, blocks

EPSILON = 1e-4
"""Added to every length before a division (Eq. 47)."""
SILU = 0.596
"""Deviation of the SiLU of a unit normal number (Eq. 81)."""


class EDM2(nn.Module):
    """``F(x [B, C, h, w], c_noise [B], classes [B]) -> [B, C, h, w]``; classes are unused without labels.

    Args:
        shape: the network's form.
        weights: by the published names.

    Raises:
        WeightsError: the weights have another form.
    """

    def __init__(self, shape: EDM2Shape, weights: Mapping[str, npt.NDArray[Any]]) -> None:
        super().__init__()
        fold = Folding(weights)
        keep, told = balance(shape.label_balance) if shape.label_dim else (1.0, 0.0)
        self.emb_fourier = Waves(*(fold.take(f"emb_fourier.{name}", shape.noise) for name in ("freqs", "phases")))
        self.emb_noise = fold.linear("emb_noise", shape.noise, shape.embedded, keep)
        self.emb_label: nn.Embedding | None = None
        if shape.label_dim:  # a linear layer of a one-hot label is a table of its columns
            columns = fold.folded("emb_label", (shape.embedded, shape.label_dim), told * math.sqrt(shape.label_dim))
            self.emb_label = nn.Embedding(shape.label_dim, shape.embedded, device="meta")
            self.emb_label.weight = nn.Parameter(columns.T.contiguous())
        sides = {"enc": nn.ModuleDict(), "dec": nn.ModuleDict()}
        for block in blocks(shape):
            key, conv = f"{block.side}.{block.name}", block.name.endswith("conv")
            made = fold.conv(key, block.ins, block.outs, 3) if conv else Block(fold, key, shape, block)
            sides[block.side][block.name] = made
        self.enc, self.dec, self.concat_balance = sides["enc"], sides["dec"], balance(shape.concat_balance)
        self.out_conv = fold.conv("out_conv", shape.levels[0][1], shape.img_channels, 3, fold.number("out_gain"))
        fold.finish()

    def forward(self, x: Tensor, c_noise: Tensor, labels: Tensor) -> Tensor:
        """Raw output, ``[B, C, h, w]``."""
        at = self.emb_noise(self.emb_fourier(c_noise).to(x.dtype))
        if self.emb_label is not None:
            at = at + self.emb_label(labels)
        at = silu(at)
        x = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
        kept: list[Tensor] = []
        for name, block in self.enc.items():
            x = block(x) if name.endswith("conv") else block(x, at)
            kept.append(x)
        for name, block in self.dec.items():
            x = block(self._joined(x, kept.pop()) if "block" in name else x, at)
        result: Tensor = self.out_conv(x)
        return result

    def _joined(self, x: Tensor, kept: Tensor) -> Tensor:
        """Concatenation with equal influence of both inputs, whatever their widths (Eq. 103)."""
        channels = x.shape[1] + kept.shape[1]
        ours, theirs = (
            share * math.sqrt(channels / part.shape[1])
            for share, part in zip(self.concat_balance, (x, kept), strict=True)
        )
        return torch.cat([ours * x, theirs * kept], dim=1)


class Waves(Exact):
    """Cosines of the noise level, of unit deviation (Eq. 75), in float32."""

    freqs: Tensor
    phases: Tensor

    def __init__(self, freqs: Tensor, phases: Tensor) -> None:
        super().__init__()
        self.register_buffer("freqs", freqs.float(), persistent=False)
        self.register_buffer("phases", phases.float(), persistent=False)

    def forward(self, c_noise: Tensor) -> Tensor:
        """``[B]`` to ``[B, waves]`` float32."""
        return math.sqrt(2) * (c_noise[:, None].float() * self.freqs + self.phases).cos()


class Block(nn.Module):
    """A residual branch scaled by the embedding, and attention; those of the encoder normalise pixels first."""

    def __init__(self, fold: Folding, key: str, shape: EDM2Shape, block: BlockShape) -> None:
        super().__init__()
        ins, outs, encodes = block.ins, block.outs, block.side == "enc"
        self.way, self.clip, self.encodes = block.way, shape.clip_act, encodes
        self.kept, mixed = balance(shape.res_balance)
        self.conv_skip = fold.conv(f"{key}.conv_skip", ins, outs, 1) if ins != outs else nn.Identity()
        self.conv_res0 = fold.conv(f"{key}.conv_res0", outs if encodes else ins, outs, 3, 1 / SILU)
        gain = fold.number(f"{key}.emb_gain")
        self.emb_linear = fold.linear(f"{key}.emb_linear", shape.embedded, outs, gain / SILU)
        self.conv_res1 = fold.conv(f"{key}.conv_res1", outs, outs, 3, mixed / SILU)
        heads = outs // shape.channels_per_head if block.attends else 0
        self.attend = Attention(fold, key, outs, heads, shape.attn_balance) if heads else nn.Identity()

    def forward(self, x: Tensor, at: Tensor) -> Tensor:
        """``[B, outs, H, W]``."""
        if self.way:
            x = avg_pool2d(x, 2) if self.way == "down" else interpolate(x, scale_factor=2.0, mode="nearest")
        if self.encodes:
            x = normalised(self.conv_skip(x), 1)
        y = self.conv_res0(silu(x))
        y = self.conv_res1(silu(y * (self.emb_linear(at) + 1)[:, :, None, None]))
        if not self.encodes:
            x = self.conv_skip(x)
        x = self.attend(self.kept * x + y)
        return x if self.clip is None else x.clamp(-self.clip, self.clip)


class Attention(nn.Module):
    """Self-attention over pixels with unit vectors in each head; the weights include its share of the sum."""

    def __init__(self, fold: Folding, key: str, width: int, heads: int, share: float) -> None:
        super().__init__()
        self.heads = heads
        self.kept, mixed = balance(share)
        self.attn_qkv = fold.conv(f"{key}.attn_qkv", width, 3 * width, 1)
        self.attn_proj = fold.conv(f"{key}.attn_proj", width, width, 1, mixed)

    def forward(self, x: Tensor) -> Tensor:
        """The shape of ``x``, ``[B, C, H, W]``."""
        rows, width, height, across = x.shape
        qkv = self.attn_qkv(x).reshape(rows, self.heads, width // self.heads, 3, height * across)
        q, k, v = normalised(qkv, 2).permute(3, 0, 1, 4, 2)
        seen = scaled_dot_product_attention(q, k, v).transpose(2, 3).reshape(rows, width, height, across)
        result: Tensor = self.kept * x + self.attn_proj(seen)
        return result


def normalised(x: Tensor, dim: int) -> Tensor:
    """``x`` divided by its root mean square along a dimension, computed in float32."""
    length: Tensor = torch.linalg.vector_norm(x, dim=dim, keepdim=True, dtype=torch.float32)
    return x / (EPSILON + length / math.sqrt(x.shape[dim])).to(x.dtype)


def balance(share: float) -> tuple[float, float]:
    """Factors of a sum of two terms of unit deviation that keep the deviation (Eq. 88)."""
    length = math.hypot(1 - share, share)
    return (1 - share) / length, share / length


class Folding:
    """Folds published weights into plain layers.

    Args:
        weights: by the published names.
    """

    def __init__(self, weights: Mapping[str, npt.NDArray[Any]]) -> None:
        self.left = dict(weights)

    def take(self, name: str, *shape: int) -> Tensor:
        """A tensor, float64.

        Raises:
            WeightsError: it is missing, or has another shape.
        """
        found = self.left.pop(name, None)
        if found is None or found.shape != shape:
            have = None if found is None else tuple(found.shape)
            raise WeightsError(f"its network has {have} in place of {shape} for '{name}'")
        return torch.from_numpy(found.astype("float64"))

    def number(self, name: str) -> float:
        """A gain."""
        return float(self.take(name))

    def folded(self, key: str, shape: tuple[int, ...], gain: float) -> Tensor:
        """A layer's weights, float32: unit length for each output (Eqs. 47 and 66), times a gain."""
        weights = self.take(f"{key}.weight", *shape)
        fan = weights[0].numel()
        length = torch.linalg.vector_norm(weights.flatten(1), dim=1).view(-1, *[1] * (weights.ndim - 1))
        found: Tensor = weights * gain / ((EPSILON + length / math.sqrt(fan)) * math.sqrt(fan))
        return found.float()

    def linear(self, key: str, ins: int, outs: int, gain: float = 1.0) -> nn.Linear:
        """A linear layer."""
        layer = nn.Linear(ins, outs, bias=False, device="meta")
        layer.weight = nn.Parameter(self.folded(key, (outs, ins), gain))
        return layer

    def conv(self, key: str, ins: int, outs: int, kernel: int, gain: float = 1.0) -> nn.Conv2d:
        """A convolution that keeps the size."""
        layer = nn.Conv2d(ins, outs, kernel, padding=kernel // 2, bias=False, device="meta")
        layer.weight = nn.Parameter(self.folded(key, (outs, ins, kernel, kernel), gain))
        return layer

    def finish(self) -> None:
        """Check that all weights were used.

        Raises:
            WeightsError: a weight is left.
        """
        if self.left:
            raise WeightsError(f"its network has '{next(iter(self.left))}', which EDM2 of its shape does not have")
