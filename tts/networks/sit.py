"""The transformer of SiT and REPA (Ma et al. 2024, arXiv 2401.08740; Yu et al. 2025, arXiv 2410.06940): DiT's blocks.

Blocks on patches of a latent, modulated by the sum of a time's and a class's embedding (Peebles and Xie 2023, arXiv
2212.09748, Sec. 3.2, "adaLN-Zero"). Names are those of the published weights.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from tts.errors import WeightsError

WAVES = 256
"""Number of cosines and sines that encode a time."""
EXTRA_LARGE = 1152
"""Width of the only size whose attention heads have 72 channels; those of all others have 64."""
BLOCK = re.compile(r"blocks\.(\d+)\.")
HEADERS = ("x_embedder.proj.weight", "pos_embed", "y_embedder.embedding_table.weight", "final_layer.linear.weight")
"""Tensors whose shapes determine the network's form."""


@dataclass(frozen=True)
class SiTShape:
    """The network's form.

    Args:
        channels: channels of a latent.
        patch: cells along a side of a patch.
        side: patches along a side of a latent.
        width: width of the blocks.
        depth: number of blocks.
        hidden: inner width of a block's two layers.
        classes: number of classes; the class after the last means "no class".
        outputs: channels of the output; twice a latent's if a variance is learned too.
    """

    channels: int
    patch: int
    side: int
    width: int
    depth: int
    hidden: int
    classes: int
    outputs: int

    @property
    def heads(self) -> int:
        """Number of attention heads."""
        return self.width // (72 if self.width == EXTRA_LARGE else 64)

    @property
    def latent(self) -> tuple[int, int, int]:
        """Shape of a latent, ``(C, h, w)``."""
        return self.channels, self.side * self.patch, self.side * self.patch


def shape_of(tensors: Mapping[str, Tensor], where: str = "weights") -> SiTShape:
    """The form of the network whose weights these are.

    Args:
        tensors: by the published names.
        where: their origin, for messages.

    Raises:
        WeightsError: they are for another network.
    """
    for name in (*HEADERS, "blocks.0.mlp.fc1.weight"):
        if name not in tensors:
            raise WeightsError(f"{where}: is not a SiT: it has no '{name}'")
    width, channels, patch, _ = tensors[HEADERS[0]].shape
    tokens, rows = tensors["pos_embed"].shape[1], tensors[HEADERS[3]].shape[0]
    side, outputs = math.isqrt(tokens), rows // patch**2
    if side**2 != tokens or width % 64 or outputs not in (channels, 2 * channels):
        raise WeightsError(
            f"{where}: is not a SiT: {tokens} patches of width {width}, channels {channels} to {outputs}"
        )
    depth = 1 + max(int(found[1]) for name in tensors if (found := BLOCK.match(name)))
    hidden, classes = tensors["blocks.0.mlp.fc1.weight"].shape[0], tensors[HEADERS[2]].shape[0] - 1
    return SiTShape(channels, patch, side, width, depth, hidden, classes, outputs)


class SiT(nn.Module):
    """``F(x [B, C, h, w], t [B] float32, classes [B] int64) -> [B, outputs, h, w]``."""

    def __init__(self, shape: SiTShape) -> None:
        super().__init__()
        self.shape = shape
        width = shape.width
        self.x_embedder = nn.ModuleDict({"proj": nn.Conv2d(shape.channels, width, shape.patch, stride=shape.patch)})
        self.pos_embed = nn.Parameter(torch.zeros(1, shape.side**2, width))
        self.t_embedder = TimeEmbedder(width)
        self.y_embedder = nn.ModuleDict({"embedding_table": nn.Embedding(shape.classes + 1, width)})
        self.blocks = nn.ModuleList(Block(width, shape.heads, shape.hidden) for _ in range(shape.depth))
        self.final_layer = Final(width, shape.patch**2 * shape.outputs)

    def forward(self, x: Tensor, t: Tensor, classes: Tensor) -> Tensor:
        """Raw output, ``[B, outputs, h, w]``."""
        patch, side = self.shape.patch, self.shape.side
        at = self.t_embedder(t, x.dtype) + self.y_embedder["embedding_table"](classes)
        tokens = self.x_embedder["proj"](x).flatten(2).transpose(1, 2) + self.pos_embed
        for block in self.blocks:
            tokens = block(tokens, at)
        cells: Tensor = self.final_layer(tokens, at).view(len(x), side, side, patch, patch, -1)
        return cells.permute(0, 5, 1, 3, 2, 4).reshape(len(x), -1, side * patch, side * patch)


class TimeEmbedder(nn.Module):
    """Cosines and sines of ``t 10000^(-i/128)``, i = 0 .. 127, and two linear layers; waves in float32."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(WAVES, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, t: Tensor, dtype: torch.dtype) -> Tensor:
        """``[B, width]`` for ``t`` of ``[B]``."""
        half = WAVES // 2
        exponents = -math.log(10000) * torch.arange(half, dtype=torch.float32, device=t.device) / half
        angles = t[:, None].float() * exponents.exp()[None, :]
        result: Tensor = self.mlp(torch.cat([angles.cos(), angles.sin()], dim=-1).to(dtype))
        return result


class Block(nn.Module):
    """Attention and two layers, each scaled, shifted and gated by the embedding."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = _norm(width), _norm(width)
        self.attn = Attention(width, heads)
        layers = {"fc1": nn.Linear(width, hidden), "act": nn.GELU(approximate="tanh"), "fc2": nn.Linear(hidden, width)}
        self.mlp = nn.Sequential()
        for name, layer in layers.items():
            self.mlp.add_module(name, layer)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))

    def forward(self, x: Tensor, at: Tensor) -> Tensor:
        """The shape of ``x``, ``[B, N, width]``."""
        by = self.adaLN_modulation(at)[:, None].chunk(6, dim=-1)
        x = x + by[2] * self.attn(self.norm1(x) * (1 + by[1]) + by[0])
        result: Tensor = x + by[5] * self.mlp(self.norm2(x) * (1 + by[4]) + by[3])
        return result


class Attention(nn.Module):
    """Self-attention over patches."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """The shape of ``x``, ``[B, N, width]``."""
        rows, patches, width = x.shape
        q, k, v = self.qkv(x).view(rows, patches, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        seen = scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(rows, patches, width)
        result: Tensor = self.proj(seen)
        return result


class Final(nn.Module):
    """The last layer, from blocks to the patches' cells."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.norm_final = _norm(width)
        self.linear = nn.Linear(width, outputs)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))

    def forward(self, x: Tensor, at: Tensor) -> Tensor:
        """``[B, N, outputs]``."""
        shift, scale = self.adaLN_modulation(at)[:, None].chunk(2, dim=-1)
        result: Tensor = self.linear(self.norm_final(x) * (1 + scale) + shift)
        return result


def _norm(width: int) -> nn.LayerNorm:
    return nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
