"""The form of EDM2's network (Karras et al. 2024, arXiv 2312.02696, Fig. 21). No torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from pydantic import Field, PositiveInt, model_validator

from tts.settings import Settings

CLIPPED = 256.0
"""Bound of activations, for half precision."""


class EDM2Shape(Settings):
    """Arguments of ``UNet``, the published network."""

    img_resolution: PositiveInt = Field(description="height and width of the images or latents")
    img_channels: PositiveInt = Field(description="channels of input and output")
    label_dim: int = Field(0, ge=0, description="classes; 0 for a network without labels")
    model_channels: PositiveInt = Field(192, description="width of the first level")
    channel_mult: tuple[PositiveInt, ...] = Field((1, 2, 3, 4), min_length=1, description="each level's width over it")
    channel_mult_noise: PositiveInt | None = Field(None, description="noise waves over it; None: the first level's")
    channel_mult_emb: PositiveInt | None = Field(None, description="width of the embedding over it; None: the widest")
    num_blocks: PositiveInt = Field(3, description="residual blocks of a level of the encoder")
    attn_resolutions: tuple[PositiveInt, ...] = Field((16, 8), description="resolutions that attend")
    label_balance: float = Field(0.5, ge=0, le=1, description="share of the class in the embedding")
    concat_balance: float = Field(0.5, ge=0, le=1, description="share of the encoder's skip connection")
    res_balance: float = Field(0.3, ge=0, le=1, description="share of a residual branch")
    attn_balance: float = Field(0.3, ge=0, le=1, description="share of attention")
    channels_per_head: PositiveInt = Field(64, description="of attention")
    clip_act: float | None = Field(CLIPPED, gt=0, description="bound of activations")
    resample_filter: tuple[Literal[1], Literal[1]] = Field((1, 1), description="the published files have no other")
    dropout: float = Field(0.0, description="off outside training")

    @property
    def in_channels(self) -> int:
        """Channels of a state."""
        return self.img_channels

    @property
    def levels(self) -> list[tuple[int, int]]:
        """Resolution and channels of each level."""
        return [(self.img_resolution >> k, self.model_channels * mult) for k, mult in enumerate(self.channel_mult)]

    @property
    def noise(self) -> int:
        """Number of waves that encode a noise level."""
        return self.model_channels * (self.channel_mult_noise or self.channel_mult[0])

    @property
    def embedded(self) -> int:
        """Width of the embedding."""
        return self.model_channels * (self.channel_mult_emb or max(self.channel_mult))

    @model_validator(mode="after")
    def _can_be_held(self) -> EDM2Shape:
        if self.img_resolution % 2 ** (len(self.channel_mult) - 1):
            raise ValueError(f"img_resolution {self.img_resolution} cannot be halved for every level of channel_mult")
        return self


class BlockShape(NamedTuple):
    """A block of the network, or the convolution at its entry.

    Args:
        side: ``enc`` or ``dec``.
        name: its name on that side.
        ins, outs: channels.
        way: ``down`` or ``up`` where it changes the resolution.
        attends: whether attention follows.
    """

    side: str
    name: str
    ins: int
    outs: int
    way: str = ""
    attends: bool = False


def blocks(shape: EDM2Shape) -> Iterator[BlockShape]:
    """Every block, in the order of computation."""
    kept: list[int] = []
    for block in _encoder(shape):
        yield block
        kept.append(block.outs)
    width = kept[-1]
    for level, (size, outs) in reversed(list(enumerate(shape.levels))):
        if level == len(shape.levels) - 1:
            yield BlockShape("dec", f"{size}x{size}_in0", width, width, attends=True)
            yield BlockShape("dec", f"{size}x{size}_in1", width, width)
        else:
            yield BlockShape("dec", f"{size}x{size}_up", width, width, "up")
        for k in range(shape.num_blocks + 1):
            ins = width + kept.pop()
            yield BlockShape("dec", f"{size}x{size}_block{k}", ins, outs, attends=size in shape.attn_resolutions)
            width = outs


def _encoder(shape: EDM2Shape) -> Iterator[BlockShape]:
    width = shape.levels[0][1]
    for level, (size, outs) in enumerate(shape.levels):
        if level == 0:  # a channel of ones is appended to the state
            yield BlockShape("enc", f"{size}x{size}_conv", shape.img_channels + 1, width)
        else:
            yield BlockShape("enc", f"{size}x{size}_down", width, width, "down")
        for k in range(shape.num_blocks):
            yield BlockShape("enc", f"{size}x{size}_block{k}", width, outs, attends=size in shape.attn_resolutions)
            width = outs
