"""The DDPM++ and NCSN++ networks (Song et al. 2021, arXiv 2011.13456, as trained by Karras et al. 2022, App. F)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, one_hot, scaled_dot_product_attention, silu

from tts.files.tensors import fill
from tts.networks.constants import Exact
from tts.settings import Settings

HALF = math.sqrt(0.5)
"""Factor of every sum of two branches, which keeps its variance."""


class SongShape(Settings):
    """Arguments of ``SongUNet``. DDPM++ (the "vp" files): positional embedding, standard encoder, filter [1, 1].
    NCSN++ (the "ve" files): Fourier embedding of twice the width, residual encoder, filter [1, 3, 3, 1]."""

    img_resolution: PositiveInt = Field(description="height and width of the images")
    in_channels: Literal[3] = Field(description="channels of the input")
    out_channels: Literal[3] = Field(description="channels of the output")
    label_dim: int = Field(0, ge=0, description="classes; 0 for a network without labels")
    augment_dim: int = Field(0, ge=0, description="augmentation labels, which are zero outside training")
    model_channels: PositiveInt = Field(128, multiple_of=4, description="width of the first level")
    channel_mult: tuple[PositiveInt, ...] = Field((1, 2, 2, 2), min_length=1, description="each level's width over it")
    channel_mult_emb: PositiveInt = Field(4, description="width of the embedding over it")
    num_blocks: PositiveInt = Field(4, description="residual blocks of a level of the encoder")
    attn_resolutions: tuple[PositiveInt, ...] = Field((16,), description="resolutions that attend")
    dropout: float = Field(0.1, description="off outside training")
    label_dropout: float = Field(0.0, description="off outside training")
    embedding_type: Literal["positional", "fourier"] = Field("positional", description="embedding of the noise level")
    channel_mult_noise: PositiveInt = Field(1, description="width of the noise embedding over the first level's")
    encoder_type: Literal["standard", "residual"] = Field("standard", description="'residual': reads the image again")
    decoder_type: Literal["standard"] = Field("standard", description="the published files have no other")
    resample_filter: tuple[float, ...] = Field(
        (1, 1), min_length=1, description="filter of changes of resolution, along one axis"
    )

    @model_validator(mode="after")
    def _can_be_halved(self) -> SongShape:
        if self.img_resolution % 2 ** (len(self.channel_mult) - 1):
            raise ValueError(f"img_resolution {self.img_resolution} cannot be halved for every level of channel_mult")
        if len(self.resample_filter) % 2:
            raise ValueError("resample_filter must have an even length")
        return self

    @property
    def levels(self) -> list[tuple[int, int]]:
        """Resolution and channels of each level."""
        widths = [self.model_channels * mult for mult in self.channel_mult]
        return [(self.img_resolution >> level, width) for level, width in enumerate(widths)]


class Song(nn.Module):
    """``F(x, c_noise, y)``; its parts have the published names.

    Args:
        shape: the network's form.
        weights: as published, by name.

    Raises:
        WeightsError: the weights have another form.
    """

    def __init__(self, shape: SongShape, weights: Mapping[str, npt.NDArray[np.generic]]) -> None:
        super().__init__()
        self.shape, embedding = shape, shape.model_channels * shape.channel_mult_emb
        width = shape.model_channels * shape.channel_mult_noise
        with torch.device("meta"):  # no memory and no random weights that would be replaced at once
            self.map_noise: nn.Module = Fourier(width) if shape.embedding_type == "fourier" else Positional(width)
            self.map_label = nn.Linear(shape.label_dim, width) if shape.label_dim else None
            self.map_augment = nn.Linear(shape.augment_dim, width, bias=False) if shape.augment_dim else None
            self.map_layer0, self.map_layer1 = nn.Linear(width, embedding), nn.Linear(embedding, embedding)
            self.enc, kept = _encoder(shape, embedding)
            self.dec = _decoder(shape, embedding, kept)
        tensors = {name: torch.from_numpy(np.array(value, np.float32, order="C")) for name, value in weights.items()}
        fill(self, tensors, "its network")

    def forward(self, x: Tensor, c_noise: Tensor, labels: Tensor) -> Tensor:
        """Raw output, shaped like ``x`` ``[B, 3, H, W]``; c_noise and labels ``[B]``, labels unused without classes."""
        embedding, kept, image = self._embedding(c_noise, labels), list[Tensor](), x
        for name, part in self.enc.items():
            if name.endswith("_aux_residual"):  # the image itself at half the resolution
                x = kept[-1] = image = HALF * (x + part(image))
            else:
                x = part(x, embedding) if isinstance(part, Block) else part(x)
                kept.append(x)
        for name, part in self.dec.items():
            if isinstance(part, Block):
                x = part(x if part.wide == x.shape[1] else torch.cat([x, kept.pop()], dim=1), embedding)
            else:
                x = silu(part(x)) if name.endswith("_aux_norm") else part(x)
        return x

    def _embedding(self, c_noise: Tensor, labels: Tensor) -> Tensor:
        """Embedding of noise level and label, ``[B, E]``. Augmentation labels are zero and add nothing."""
        embedding: Tensor = self.map_noise(c_noise).to(self.map_layer0.weight.dtype)
        if self.map_label is not None:
            classes = self.shape.label_dim
            embedding = embedding + self.map_label(one_hot(labels, classes).to(embedding) * math.sqrt(classes))
        return silu(self.map_layer1(silu(self.map_layer0(embedding))))


class Positional(nn.Module):
    """Sines, then cosines, of frequencies from 1 to 1/10000, both included."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.count = width // 2

    def forward(self, c_noise: Tensor) -> Tensor:
        """``[B]`` to ``[B, width]``."""
        steps = torch.arange(self.count, dtype=torch.float32, device=c_noise.device) / (self.count - 1)
        angles = c_noise[:, None] * (1 / 10000) ** steps
        return torch.cat([angles.sin(), angles.cos()], dim=1)


class Fourier(Exact):
    """Sines, then cosines, of random frequencies, which are weights and stay float32 in any precision.

    Frequencies reach about 60 and angles about 600: half precision would change an angle by whole radians.
    """

    freqs: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("freqs", torch.empty(width // 2))

    def forward(self, c_noise: Tensor) -> Tensor:
        """``[B]`` to ``[B, width]``."""
        angles = c_noise[:, None] * (2 * math.pi * self.freqs)
        return torch.cat([angles.sin(), angles.cos()], dim=1)


class Resampled(nn.Module):
    """A convolution at another resolution.

    Args:
        kernel: size of the convolution.
        change: ``up`` or ``down``, or "" for none.
        taps: length of the filter.
        fused: whether the convolution comes before the change of resolution.
    """

    resample_filter: Tensor

    def __init__(self, wide: int, out: int, kernel: int, change: str = "", taps: int = 0, fused: bool = False) -> None:
        super().__init__()
        self.change, self.fused, self.pad = change, fused, kernel // 2
        self.weight, self.bias = nn.Parameter(torch.empty(out, wide, kernel, kernel)), nn.Parameter(torch.empty(out))
        if change:
            self.register_buffer("resample_filter", torch.empty(1, 1, taps, taps))

    def forward(self, x: Tensor) -> Tensor:
        """``[B, wide, h, w]`` to ``[B, out, h', w']``."""
        if not self.change:
            return self._convolved(x, self.bias, self.pad)
        reach = (self.resample_filter.shape[-1] - 1) // 2
        if self.fused:
            x = self._convolved(x, None, self.pad + reach)
            return self._filtered(x, 0) + self.bias[:, None, None]
        return self._convolved(self._filtered(x, reach), self.bias, self.pad)

    def _convolved(self, x: Tensor, bias: Tensor | None, padding: int) -> Tensor:
        """Apply the learned weight; on a GPU, ``InvariantResampled`` does this and the filter in another way."""
        return conv2d(x, self.weight, bias, padding=padding)

    def _filtered(self, x: Tensor, padding: int) -> Tensor:
        """Resample each channel to twice or half the resolution."""
        channels = x.shape[1]
        filters = self.resample_filter.expand(channels, 1, -1, -1)
        if self.change == "up":  # the same sum is spread over four times as many pixels
            return conv_transpose2d(x, 4 * filters, groups=channels, stride=2, padding=padding)
        return conv2d(x, filters, groups=channels, stride=2, padding=padding)


class Block(nn.Module):
    """A residual block to which the embedding is added, followed by attention of one head where the level has it."""

    def __init__(
        self, wide: int, out: int, embedding: int, change: str = "", taps: int = 0, attends: bool = False
    ) -> None:
        super().__init__()
        self.wide = wide
        self.norm0, self.conv0 = _norm(wide), Resampled(wide, out, 3, change, taps)
        self.affine = nn.Linear(embedding, out)
        self.norm1, self.conv1 = _norm(out), Resampled(out, out, 3)
        self.skip = Resampled(wide, out, 1, change, taps) if change or wide != out else None
        self.norm2 = _norm(out) if attends else None
        if attends:
            self.qkv, self.proj = Resampled(out, 3 * out, 1), Resampled(out, out, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """``[B, wide, h, w]`` to ``[B, out, h', w']``."""
        y = self.conv0(silu(self.norm0(x))) + self.affine(embedding)[:, :, None, None]
        y = self.conv1(silu(self.norm1(y)))
        y = HALF * (y + (x if self.skip is None else self.skip(x)))
        result: Tensor = y if self.norm2 is None else HALF * (y + self._attended(y, self.norm2))
        return result

    def _attended(self, y: Tensor, norm: nn.Module) -> Tensor:
        """Add self-attention; q, k and v alternate channel by channel in the weights."""
        q, k, v = self.qkv(norm(y)).flatten(2).unflatten(1, (-1, 3)).transpose(1, 3).unbind(2)
        mixed = scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])[:, 0]
        projected: Tensor = self.proj(mixed.transpose(1, 2).reshape(y.shape))
        return projected


def _norm(width: int) -> nn.GroupNorm:
    return nn.GroupNorm(min(32, width // 4), width, eps=1e-6)


def _encoder(shape: SongShape, embedding: int) -> tuple[nn.ModuleDict, list[int]]:
    """The encoder's parts by name, and the channels of all skip connections to the decoder."""
    parts, kept, now, taps = nn.ModuleDict(), list[int](), shape.model_channels, len(shape.resample_filter)
    image: int = shape.in_channels
    for level, (size, width) in enumerate(shape.levels):
        if level == 0:
            parts[f"{size}x{size}_conv"] = Resampled(shape.in_channels, now, 3)
        else:
            parts[f"{size}x{size}_down"] = Block(now, now, embedding, "down", taps)
            if shape.encoder_type == "residual":
                parts[f"{size}x{size}_aux_residual"] = Resampled(image, now, 3, "down", taps, fused=True)
                image = now
        kept.append(now)
        for k in range(shape.num_blocks):
            attends = size in shape.attn_resolutions
            parts[f"{size}x{size}_block{k}"] = Block(now, width, embedding, attends=attends)
            now = width
            kept.append(now)
    return parts, kept


def _decoder(shape: SongShape, embedding: int, kept: list[int]) -> nn.ModuleDict:
    """The decoder's parts by name; only the last block of a level attends."""
    parts, now, taps = nn.ModuleDict(), kept[-1], len(shape.resample_filter)
    for level, (size, width) in reversed(list(enumerate(shape.levels))):
        if level == len(shape.levels) - 1:
            parts[f"{size}x{size}_in0"] = Block(now, now, embedding, attends=True)
            parts[f"{size}x{size}_in1"] = Block(now, now, embedding)
        else:
            parts[f"{size}x{size}_up"] = Block(now, now, embedding, "up", taps)
        for k in range(shape.num_blocks + 1):
            attends = k == shape.num_blocks and size in shape.attn_resolutions
            parts[f"{size}x{size}_block{k}"] = Block(now + kept.pop(), width, embedding, attends=attends)
            now = width
    size = shape.img_resolution
    parts[f"{size}x{size}_aux_norm"], parts[f"{size}x{size}_aux_conv"] = (
        _norm(now),
        Resampled(now, shape.out_channels, 3),
    )
    return parts
