"""The ADM network's published form: its constructor's arguments, and its weights under diffusers' names. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, PositiveInt, model_validator

from tts.errors import WeightsError
from tts.settings import Settings

HEAD = 64
"""Channels of an attention head."""

Arrays = Mapping[str, npt.NDArray[Any]]

RESNET = {
    "norm0": "norm1",
    "conv0": "conv1",
    "affine": "time_emb_proj",
    "norm1": "norm2",
    "conv1": "conv2",
    "skip": "conv_shortcut",
}
"""Layers of a residual block, published names and diffusers'; ``skip`` only where the width changes."""

ENDS = {
    "map_layer0": "time_embedding.linear_1",
    "map_layer1": "time_embedding.linear_2",
    "out_norm": "conv_norm_out",
    "out_conv": "conv_out",
}
"""Layers outside the blocks, published names and diffusers'."""


class ADMShape(Settings):
    """Arguments of ``DhariwalUNet`` (Dhariwal and Nichol 2021, arXiv 2105.05233, as trained by Karras et al. 2022)."""

    img_resolution: PositiveInt = Field(description="height and width of the images")
    in_channels: Literal[3] = Field(description="channels of the input")
    out_channels: Literal[3] = Field(description="channels of the output")
    label_dim: int = Field(0, ge=0, description="classes; 0 for a network without labels")
    augment_dim: Literal[0] = Field(0, description="augmentation labels; networks that take them cannot be read")
    model_channels: PositiveInt = Field(192, multiple_of=4, description="width of the first level")
    channel_mult: tuple[PositiveInt, ...] = Field((1, 2, 3, 4), min_length=1, description="each level's width over it")
    channel_mult_emb: PositiveInt = Field(4, description="width of the noise embedding over it")
    num_blocks: PositiveInt = Field(3, description="residual blocks of a level of the encoder")
    attn_resolutions: tuple[PositiveInt, ...] = Field((32, 16, 8), description="resolutions that attend")
    dropout: float = Field(0.1, description="off outside training")
    label_dropout: float = Field(0.0, description="off outside training")

    @property
    def sizes(self) -> list[int]:
        """Resolution of each level."""
        return [self.img_resolution >> level for level in range(len(self.channel_mult))]

    @property
    def widths(self) -> list[int]:
        """Channels of each level."""
        return [self.model_channels * mult for mult in self.channel_mult]

    @property
    def attends(self) -> list[bool]:
        """Whether each level's blocks attend."""
        return [size in self.attn_resolutions for size in self.sizes]

    @model_validator(mode="after")
    def _can_be_held(self) -> ADMShape:
        if self.img_resolution % 2 ** (len(self.channel_mult) - 1):
            raise ValueError(f"img_resolution {self.img_resolution} cannot be halved for every level of channel_mult")
        if self.channel_mult[0] != 1:
            raise ValueError("channel_mult must begin with 1")
        attending = [width for width, attends in zip(self.widths, self.attends, strict=True) if attends]
        for width in [*attending, self.widths[-1]]:
            if width % HEAD:
                raise ValueError(f"a level with attention has {width} channels, which is not a multiple of {HEAD}")
        return self


def groups(width: int) -> int:
    """Groups of a normalisation over ``width`` channels: 32, or fewer so that a group has at least 4."""
    return min(32, width // 4)


def blocks(shape: ADMShape) -> Iterator[tuple[str, str, str | None]]:
    """Every residual block: its published name, diffusers' name, and diffusers' name of its attention, if any."""
    levels = list(zip(shape.sizes, shape.attends, strict=True))
    yield from _levels("enc", "down", levels, shape.num_blocks)
    innermost = f"dec.{shape.sizes[-1]}x{shape.sizes[-1]}"
    yield f"{innermost}_in0", "mid_block.resnets.0", "mid_block.attentions.0"
    yield f"{innermost}_in1", "mid_block.resnets.1", None
    yield from _levels("dec", "up", levels[::-1], shape.num_blocks + 1)


def _levels(side: str, way: str, levels: list[tuple[int, bool]], count: int) -> Iterator[tuple[str, str, str | None]]:
    for k, (size, attends) in enumerate(levels):
        if k > 0:  # published names count a change of resolution to the level after it, diffusers to the one before
            yield f"{side}.{size}x{size}_{way}", f"{way}_blocks.{k - 1}.{way}samplers.0", None
        for n in range(count):
            attention = f"{way}_blocks.{k}.attentions.{n}" if attends else None
            yield f"{side}.{size}x{size}_block{n}", f"{way}_blocks.{k}.resnets.{n}", attention


def translate(shape: ADMShape, tensors: Arrays) -> dict[str, npt.NDArray[Any]]:
    """Published weights under the names and in the form of diffusers' ``UNet2DModel``.

    Raises:
        WeightsError: a tensor is missing, or one is left over; the message names it.
    """
    moved = _Moved(tensors)
    for theirs, ours in ENDS.items():
        moved.layer(theirs, ours)
    moved.layer(f"enc.{shape.img_resolution}x{shape.img_resolution}_conv", "conv_in")
    if shape.label_dim:  # a linear layer of a one-hot label is a table of its columns
        moved.to["class_embedding.weight"] = moved.take("map_label.weight").T
    for theirs, resnet, attention in blocks(shape):
        moved.resnet(theirs, resnet)
        if attention is not None:
            moved.attention(theirs, attention)
    moved.finish()
    return moved.to


class _Moved:
    """Moves tensors from published names to diffusers'."""

    def __init__(self, tensors: Arrays) -> None:
        self.left, self.to = dict(tensors), dict[str, npt.NDArray[Any]]()

    def take(self, name: str) -> npt.NDArray[Any]:
        tensor = self.left.pop(name, None)
        if tensor is None or tensor.size == 0 or tensor.ndim == 0:
            raise WeightsError(f"its network lacks '{name}'")
        return tensor

    def layer(self, theirs: str, ours: str) -> None:
        for kind in ("weight", "bias"):
            self.to[f"{ours}.{kind}"] = self.take(f"{theirs}.{kind}")

    def resnet(self, theirs: str, ours: str) -> None:
        for name, our_name in RESNET.items():
            if name != "skip" or f"{theirs}.skip.weight" in self.left:
                self.layer(f"{theirs}.{name}", f"{ours}.{our_name}")

    def attention(self, theirs: str, ours: str) -> None:
        """Turn published 1x1 convolutions, with q, k and v interleaved in each head, into linear layers."""
        self.layer(f"{theirs}.norm2", f"{ours}.group_norm")
        for kind in ("weight", "bias"):
            qkv, out = (self.take(f"{theirs}.{name}.{kind}") for name in ("qkv", "proj"))
            for k, name in enumerate("qkv"):
                self.to[f"{ours}.to_{name}.{kind}"] = _linear(qkv)[k::3]
            self.to[f"{ours}.to_out.0.{kind}"] = _linear(out)

    def finish(self) -> None:
        """Check that only resampling filters are left, and that they are means of 2x2 pixels."""
        for name, tensor in self.left.items():
            if not name.endswith(".resample_filter"):
                raise WeightsError(f"its network has '{name}', which an ADM network of its shape does not have")
            if not np.array_equal(tensor, np.full((1, 1, 2, 2), 0.25)):
                raise WeightsError(f"its network resamples with another filter than 2x2 means ('{name}')")


def _linear(tensor: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A 1x1 convolution's weight as a matrix; a bias as it is."""
    return tensor[:, :, 0, 0] if tensor.shape[2:] == (1, 1) else tensor
