"""The noisy-image classifier of guided diffusion (Dhariwal and Nichol 2021, arXiv 2105.05233, Sec. 4 and App. F)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, scaled_dot_product_attention, silu

from tts.errors import WeightsError

HEAD = 64
"""Channels of an attention head."""
GROUPS = 32


@dataclass(frozen=True)
class Shape:
    """The network's form, read from its weights.

    Args:
        width: channels of the first convolution.
        widths: channels of each level.
        blocks: residual blocks of a level.
        attends: whether each level attends.
        classes: classes of the output.
        scales: whether the embedding scales and shifts blocks (use_scale_shift_norm) or is added to them.
    """

    width: int
    widths: tuple[int, ...]
    blocks: int
    attends: tuple[bool, ...]
    classes: int
    scales: bool = True


def shape_of(weights: Mapping[str, Tensor], image_size: int) -> Shape:
    """The form of a published ``state_dict``.

    A block that halves the resolution has the same parameters as any other. Their number follows from the size of the
    innermost level, which follows from the positional embedding of the attention pooling.

    Raises:
        WeightsError: a required weight is missing or has an impossible size.
    """
    try:
        return _shape(weights, image_size)
    except WeightsError as error:
        raise WeightsError(f"is not a classifier of guided diffusion for {image_size} pixels ({error})") from None


def _shape(weights: Mapping[str, Tensor], image_size: int) -> Shape:
    _refuse_other_forms(weights)
    width = _size(weights, "input_blocks.0.0.weight", GROUPS)
    levels = _levels(_size(weights, "out.2.positional_embedding", axis=1), image_size)
    count = len({name.split(".")[1] for name in weights if name.startswith("input_blocks.")}) - 1
    blocks = (count - (levels - 1)) // levels
    if blocks < 1:
        raise WeightsError(f"its {count} 'input_blocks' are too few for {levels} sizes")
    firsts = [1 + level * (blocks + 1) for level in range(levels)]
    attends = tuple(f"input_blocks.{first}.1.qkv.weight" in weights for first in firsts)
    attending = [*attends[:-1], True]  # the innermost blocks always attend
    widths = tuple(
        _size(weights, f"input_blocks.{first}.0.out_layers.3.weight", HEAD if heads else GROUPS)
        for first, heads in zip(firsts, attending, strict=True)
    )
    scales = _size(weights, "input_blocks.1.0.emb_layers.1.weight") != widths[0]
    return Shape(width, widths, blocks, attends, _size(weights, "out.2.c_proj.weight"), scales)


def _refuse_other_forms(weights: Mapping[str, Tensor]) -> None:
    """Name the options of guided diffusion's program that give another network than the published classifiers."""
    if any(name.startswith("input_blocks.") and name.endswith(".op.weight") for name in weights):
        raise WeightsError("it halves images by convolutions (classifier_resblock_updown: False)")
    if "input_blocks.0.0.weight" in weights and "out.2.positional_embedding" not in weights:
        raise WeightsError("it does not pool by attention (classifier_pool): no 'out.2.positional_embedding'")


def _size(weights: Mapping[str, Tensor], name: str, multiple: int = 1, axis: int = 0) -> int:
    """Length of one axis of a weight."""
    if name not in weights:
        raise WeightsError(f"no '{name}'")
    shape = tuple(weights[name].shape)
    if len(shape) <= axis or not shape[axis] or shape[axis] % multiple:
        of = f", which {multiple} does not divide" if multiple > 1 else ""
        raise WeightsError(f"'{name}' has the shape {shape}{of}")
    return shape[axis]


def _levels(tokens: int, image_size: int) -> int:
    """Number of sizes from the image's to the innermost one, which has one token per position and one for all."""
    for levels in range(1, image_size.bit_length() + 1):
        if (image_size >> (levels - 1)) ** 2 + 1 == tokens:
            return levels
    raise WeightsError(f"'out.2.positional_embedding' has {tokens} positions")


class ADMClassifier(nn.Module):
    """``(x [B, 3, S, S] in [-1, 1], t [B]) -> logits [B, classes]``; t = 0 for clean images.

    The encoder half of an ADM network, pooled by attention. Its parts have the published names.
    """

    def __init__(self, shape: Shape, image_size: int) -> None:
        super().__init__()
        embedding = 4 * shape.width
        self.width = shape.width
        self.time_embed = nn.Sequential(nn.Linear(shape.width, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        parts: list[nn.ModuleList] = [nn.ModuleList([nn.Conv2d(3, shape.width, 3, padding=1)])]
        now = shape.width
        for level, (width, attends) in enumerate(zip(shape.widths, shape.attends, strict=True)):
            if level:
                parts.append(nn.ModuleList([Block(now, now, embedding, shape.scales, down=True)]))
            for _ in range(shape.blocks):
                attention = [Attention(width)] if attends else []
                parts.append(nn.ModuleList([Block(now, width, embedding, shape.scales), *attention]))
                now = width
        self.input_blocks = nn.ModuleList(parts)
        outer = [Block(now, now, embedding, shape.scales) for _ in range(2)]
        self.middle_block = nn.ModuleList([outer[0], Attention(now), outer[1]])
        innermost = image_size >> (len(shape.widths) - 1)
        self.out = nn.Sequential(nn.GroupNorm(GROUPS, now), nn.SiLU(), AttentionPool(now, innermost, shape.classes))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Logits ``[B, classes]``."""
        embedding = self.time_embed(time_embedding(t, self.width).to(x.dtype))
        for parts in [*self.input_blocks, self.middle_block]:
            for part in parts:
                x = part(x, embedding) if isinstance(part, Block) else part(x)
        logits: Tensor = self.out(x)
        return logits


class CleanImages(nn.Module):
    """A classifier of noisy images, applied at noise level 0."""

    def __init__(self, classifier: ADMClassifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, x: Tensor) -> Tensor:
        """``[B, 3, S, S]`` in [-1, 1] to logits."""
        logits: Tensor = self.classifier(x, torch.zeros(len(x), device=x.device))
        return logits


class Block(nn.Module):
    """A residual block; the embedding scales and shifts it, or, with ``scales`` false, is added to it.

    ``down`` halves the resolution first.
    """

    def __init__(self, width: int, out: int, embedding: int, scales: bool = True, down: bool = False) -> None:
        super().__init__()
        self.down, self.scales = down, scales
        self.in_layers = nn.Sequential(nn.GroupNorm(GROUPS, width), nn.SiLU(), nn.Conv2d(width, out, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(embedding, 2 * out if scales else out))
        # the third is a dropout in the published network, which is off outside training
        self.out_layers = nn.Sequential(
            nn.GroupNorm(GROUPS, out), nn.SiLU(), nn.Identity(), nn.Conv2d(out, out, 3, padding=1)
        )
        self.skip_connection = nn.Conv2d(width, out, 1) if width != out else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """``[B, width, h, w]`` to ``[B, out, h', w']``."""
        h = silu(self.in_layers[0](x))
        if self.down:
            h, x = avg_pool2d(h, 2), avg_pool2d(x, 2)
        h = self.in_layers[2](h)
        told = self.emb_layers(embedding)[:, :, None, None]
        if self.scales:
            scale, shift = told.chunk(2, dim=1)
            h = self.out_layers[1:](self.out_layers[0](h) * (1 + scale) + shift)
        else:
            h = self.out_layers(h + told)
        result: Tensor = self.skip_connection(x) + h
        return result


class Attention(nn.Module):
    """Self-attention over positions; q, k and v alternate head by head in the weights."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = width // HEAD
        self.norm = nn.GroupNorm(GROUPS, width)
        self.qkv, self.proj_out = nn.Conv1d(width, 3 * width, 1), nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, h, w]`` to the same."""
        flat = x.flatten(2)
        q, k, v = self.qkv(self.norm(flat)).unflatten(1, (self.heads, 3, HEAD)).transpose(3, 4).unbind(2)
        attended = scaled_dot_product_attention(q, k, v).transpose(2, 3).flatten(1, 2)
        result: Tensor = (flat + self.proj_out(attended)).view_as(x)
        return result


class AttentionPool(nn.Module):
    """One token, the mean, attends to all positions (Radford et al. 2021, arXiv 2103.00020, Sec. 2.4)."""

    def __init__(self, width: int, size: int, classes: int) -> None:
        super().__init__()
        self.heads = width // HEAD
        self.positional_embedding = nn.Parameter(torch.empty(width, size**2 + 1))
        self.qkv_proj, self.c_proj = nn.Conv1d(width, 3 * width, 1), nn.Conv1d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, size, size]`` to ``[B, classes]``."""
        flat = x.flatten(2)
        tokens = torch.cat([flat.mean(dim=2, keepdim=True), flat], dim=2) + self.positional_embedding
        # here q, k and v come one after another, each with all its heads
        q, k, v = self.qkv_proj(tokens).unflatten(1, (3, self.heads, HEAD)).transpose(3, 4).unbind(1)
        pooled = scaled_dot_product_attention(q[:, :, :1], k, v).transpose(2, 3).flatten(1, 2)
        result: Tensor = self.c_proj(pooled)[:, :, 0]
        return result


def time_embedding(t: Tensor, width: int) -> Tensor:
    """Cosines, then sines, of t times ``10000^(-i / half)``; ``[B]`` to ``[B, width]`` float32."""
    half = width // 2
    frequencies = torch.exp(-math.log(10000) * torch.arange(half, device=t.device) / half)
    angles = t[:, None].float() * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)
