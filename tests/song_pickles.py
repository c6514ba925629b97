"""Small SongUNet networks in NVIDIA's form: a second, plain implementation of the description, to compare with.

It follows Karras et al. 2022 (appendix F) and Song et al. 2021, and has the published parameter names. Resampling
inserts zeros and sums shifted images; attention is the plain formula.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from edm_pickles import EDMPrecond, Linear, Persistent
from torch import Tensor, nn
from torch.nn import functional

VP: dict[str, Any] = {
    "img_resolution": 8,
    "in_channels": 3,
    "out_channels": 3,
    "label_dim": 4,
    "augment_dim": 9,
    "model_channels": 32,
    "channel_mult": [1, 2],
    "num_blocks": 2,
    "attn_resolutions": [4],
    "embedding_type": "positional",
    "encoder_type": "standard",
    "decoder_type": "standard",
    "channel_mult_noise": 1,
    "resample_filter": [1, 1],
}
VE: dict[str, Any] = {
    **VP,
    "embedding_type": "fourier",
    "encoder_type": "residual",
    "channel_mult_noise": 2,
    "resample_filter": [1, 3, 3, 1],
}


class Conv2d(Persistent):
    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        taps: list[int] | None = None,
        change: str = "",
        fused: bool = False,
    ) -> None:
        super().__init__(inputs, outputs, kernel)
        self.weight, self.bias = (
            nn.Parameter(torch.empty(outputs, inputs, kernel, kernel)),
            nn.Parameter(torch.empty(outputs)),
        )
        self.change, self.fused = change, fused
        line = torch.tensor(taps or [1.0], dtype=torch.float32)
        square = line[:, None] * line / line.sum() ** 2
        self.register_buffer("resample_filter", square[None, None] if change else None)

    def forward(self, x: Tensor) -> Tensor:
        pad = self.weight.shape[-1] // 2
        if self.change == "up":
            x = self.smooth(self.with_zeros(x), len(self.resample_filter[0, 0]) // 2) * 4
        if self.change == "down" and not self.fused:
            x = self.smooth(x, (len(self.resample_filter[0, 0]) - 1) // 2)[:, :, ::2, ::2]
        if self.fused:
            wide = (len(self.resample_filter[0, 0]) - 1) // 2
            x = functional.conv2d(x, self.weight, padding=pad + wide)
            return self.smooth(x, 0)[:, :, ::2, ::2] + self.bias.view(-1, 1, 1)
        return functional.conv2d(x, self.weight, self.bias, padding=pad)

    def with_zeros(self, x: Tensor) -> Tensor:
        y = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
        y[:, :, ::2, ::2] = x
        return y

    def smooth(self, x: Tensor, margin: int) -> Tensor:
        """A sum of shifted images, as filters are symmetric; doubled images lose their last row and column."""
        taps = self.resample_filter[0, 0]
        after = margin - 1 if self.change == "up" else margin
        x = functional.pad(x, (margin, after, margin, after))
        high, wide = (size - len(taps) + 1 for size in x.shape[2:])
        return sum(taps[i, j] * x[:, :, i : i + high, j : j + wide] for i in range(len(taps)) for j in range(len(taps)))


class GroupNorm(Persistent):
    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.groups = min(32, channels // 4)
        self.weight, self.bias = nn.Parameter(torch.empty(channels)), nn.Parameter(torch.empty(channels))

    def forward(self, x: Tensor) -> Tensor:
        y = x.view(len(x), self.groups, -1)
        y = (y - y.mean(-1, keepdim=True)) / (y.var(-1, keepdim=True, unbiased=False) + 1e-6).sqrt()
        return y.view_as(x) * self.weight.view(-1, 1, 1) + self.bias.view(-1, 1, 1)


class UNetBlock(Persistent):
    def __init__(
        self, inputs: int, outputs: int, emb: int, taps: list[int], change: str = "", attention: bool = False
    ) -> None:
        super().__init__(in_channels=inputs, out_channels=outputs, emb_channels=emb)
        self.inputs, self.attention = inputs, attention
        self.norm0, self.conv0 = GroupNorm(inputs), Conv2d(inputs, outputs, 3, taps, change)
        self.affine = Linear(emb, outputs)
        self.norm1, self.conv1 = GroupNorm(outputs), Conv2d(outputs, outputs, 3)
        self.skip = Conv2d(inputs, outputs, 1, taps, change) if change or inputs != outputs else None
        if attention:
            self.norm2 = GroupNorm(outputs)
            self.qkv, self.proj = Conv2d(outputs, 3 * outputs, 1), Conv2d(outputs, outputs, 1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        y = self.conv0(functional.silu(self.norm0(x))) + self.affine(emb)[:, :, None, None]
        y = self.conv1(functional.silu(self.norm1(y)))
        y = (y + (x if self.skip is None else self.skip(x))) / math.sqrt(2)
        if not self.attention:
            return y
        B, C, H, W = y.shape
        q, k, v = self.qkv(self.norm2(y)).view(B, C, 3, H * W).unbind(2)
        weights = torch.softmax(torch.einsum("bct,bcs->bts", q, k) / math.sqrt(C), dim=-1)
        return (y + self.proj(torch.einsum("bts,bcs->bct", weights, v).view(B, C, H, W))) / math.sqrt(2)


class FourierEmbedding(Persistent):
    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.register_buffer("freqs", 16 * torch.randn(width // 2, generator=torch.Generator().manual_seed(5)))


class PositionalEmbedding(Persistent):
    """An embedding without weights."""


class SongUNet(Persistent):
    def __init__(self, **given: Any) -> None:
        super().__init__(**given, dropout=0.13)
        self.given, base, mults = given, given["model_channels"], given["channel_mult"]
        emb, self.width, taps = 4 * base, base * given["channel_mult_noise"], given["resample_filter"]
        fourier = given["embedding_type"] == "fourier"
        self.map_noise = FourierEmbedding(self.width) if fourier else PositionalEmbedding(self.width)
        self.map_label = Linear(given["label_dim"], self.width) if given["label_dim"] else None
        self.map_augment = Linear(given["augment_dim"], self.width, bias=False) if given["augment_dim"] else None
        self.map_layer0, self.map_layer1 = Linear(self.width, emb), Linear(emb, emb)
        self.enc, self.dec, kept, now, image = nn.ModuleDict(), nn.ModuleDict(), [], base, 3
        for level, mult in enumerate(mults):
            size = given["img_resolution"] >> level
            if level == 0:
                self.enc[f"{size}x{size}_conv"] = Conv2d(3, base, 3)
            else:
                self.enc[f"{size}x{size}_down"] = UNetBlock(now, now, emb, taps, "down")
                if given["encoder_type"] == "residual":
                    self.enc[f"{size}x{size}_aux_residual"] = Conv2d(image, now, 3, taps, "down", fused=True)
                    image = now
            kept.append(now)
            for k in range(given["num_blocks"]):
                attention = size in given["attn_resolutions"]
                self.enc[f"{size}x{size}_block{k}"] = UNetBlock(now, mult * base, emb, taps, attention=attention)
                now = mult * base
                kept.append(now)
        for level, mult in reversed(list(enumerate(mults))):
            size = given["img_resolution"] >> level
            if level == len(mults) - 1:
                self.dec[f"{size}x{size}_in0"] = UNetBlock(now, now, emb, taps, attention=True)
                self.dec[f"{size}x{size}_in1"] = UNetBlock(now, now, emb, taps)
            else:
                self.dec[f"{size}x{size}_up"] = UNetBlock(now, now, emb, taps, "up")
            for k in range(given["num_blocks"] + 1):
                attention = k == given["num_blocks"] and size in given["attn_resolutions"]
                self.dec[f"{size}x{size}_block{k}"] = UNetBlock(
                    now + kept.pop(), mult * base, emb, taps, attention=attention
                )
                now = mult * base
        size = given["img_resolution"]
        self.dec[f"{size}x{size}_aux_norm"], self.dec[f"{size}x{size}_aux_conv"] = GroupNorm(now), Conv2d(now, 3, 3)

    def forward(self, x: Tensor, c_noise: Tensor, one_hot: Tensor | None) -> Tensor:
        half = self.width // 2
        if isinstance(self.map_noise, FourierEmbedding):
            angles = 2 * math.pi * c_noise[:, None] * self.map_noise.freqs
        else:
            angles = c_noise[:, None] * 10000.0 ** (-torch.arange(half) / (half - 1))
        emb = torch.cat([angles.sin(), angles.cos()], dim=1)
        if self.map_label is not None:
            emb = emb + self.map_label(one_hot * math.sqrt(self.given["label_dim"]))
        emb = functional.silu(self.map_layer1(functional.silu(self.map_layer0(emb))))
        kept, image = [], x
        for name, block in self.enc.items():
            if "aux" in name:
                image = (x + block(image)) / math.sqrt(2)
                x = kept[-1] = image
            else:
                x = block(x, emb) if isinstance(block, UNetBlock) else block(x)
                kept.append(x)
        for name, block in self.dec.items():
            if "aux_norm" in name:
                x = functional.silu(block(x))
            elif "aux_conv" in name:
                x = block(x)
            else:
                x = block(x if x.shape[1] == block.inputs else torch.cat([x, kept.pop()], dim=1), emb)
        return x


def network(seed: int = 0, **arguments: Any) -> EDMPrecond:
    """A network with random weights of a size that keeps its activations near 1."""
    unet = SongUNet(**arguments)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in unet.named_parameters():
            parameter.normal_(generator=generator)
            fan_in = parameter[0].numel()
            parameter *= fan_in**-0.5 if fan_in > 1 else 0.1
            if "norm" in name and name.endswith("weight"):
                parameter += 1
    return EDMPrecond(unet, arguments["label_dim"]).eval().requires_grad_(False)
