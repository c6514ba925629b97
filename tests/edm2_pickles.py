"""Small EDM2 networks in NVIDIA's form: a second, plain implementation of the paper, to compare with.

It follows Karras et al. 2024 (arXiv 2312.02696, Fig. 21 and its equations), has the published parameter names, and
computes in float64: weights are normalised at every call, gains are separate, and attention is the plain formula.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import edm_pickles
import numpy as np
import torch
from edm_pickles import EasyDict, Persistent
from torch import Tensor, nn
from torch.nn import functional

TINY: dict[str, Any] = {
    "img_resolution": 8,
    "img_channels": 4,
    "label_dim": 4,
    "model_channels": 32,
    "channel_mult": [1, 2],
    "num_blocks": 1,
    "attn_resolutions": [4],
    "channels_per_head": 16,
    "dropout": 0.1,
}
RAW_MEAN, RAW_STD = np.float32([5.81, 3.25, 0.12, -2.15]), np.float32([4.17, 4.62, 3.71, 3.28])


def rms(x: Tensor, dims: Any) -> Tensor:
    """Root mean square plus the published 1e-4."""
    return x.square().mean(dims, keepdim=True).sqrt() + 1e-4


def mixed(a: Tensor, b: Tensor, t: float) -> Tensor:
    return ((1 - t) * a + t * b) / math.sqrt((1 - t) ** 2 + t**2)


def mp_silu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(x) / 0.596


class MPConv(Persistent):
    """A layer whose weights have unit length for every output."""

    def __init__(self, inputs: int, outputs: int, *kernel: int) -> None:
        super().__init__(inputs, outputs, kernel=list(kernel))
        self.weight = nn.Parameter(torch.empty(outputs, inputs, *kernel))

    def forward(self, x: Tensor, gain: float | Tensor = 1.0) -> Tensor:
        w = self.weight.double()
        w = gain * w / rms(w, tuple(range(1, w.ndim))) / math.sqrt(w[0].numel())
        return x @ w.T if w.ndim == 2 else functional.conv2d(x, w, padding=w.shape[-1] // 2)


class MPFourier(Persistent):
    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.register_buffer("freqs", torch.empty(count))
        self.register_buffer("phases", torch.empty(count))

    def forward(self, c_noise: Tensor) -> Tensor:
        return math.sqrt(2) * torch.cos(c_noise[:, None] * self.freqs.double() + self.phases.double())


class Block(Persistent):
    def __init__(self, ins: int, outs: int, emb: int, flavor: str, heads: int = 0, mode: str = "keep") -> None:
        super().__init__(ins, outs, emb, flavor=flavor)
        self.flavor, self.heads, self.mode = flavor, heads, mode
        self.res_balance, self.attn_balance, self.clip_act = 0.3, 0.3, 256
        self.emb_gain = nn.Parameter(torch.empty([]))
        self.conv_res0 = MPConv(outs if flavor == "enc" else ins, outs, 3, 3)
        self.emb_linear, self.conv_res1 = MPConv(emb, outs), MPConv(outs, outs, 3, 3)
        self.conv_skip = MPConv(ins, outs, 1, 1) if ins != outs else None
        self.attn_qkv = MPConv(outs, 3 * outs, 1, 1) if heads else None
        self.attn_proj = MPConv(outs, outs, 1, 1) if heads else None

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        if self.mode == "down":
            x = sum(x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)) / 4
        if self.mode == "up":
            x = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        skipped = x if self.conv_skip is None else self.conv_skip(x)
        if self.flavor == "enc":
            x = skipped = skipped / rms(skipped, 1)
        y = self.conv_res0(mp_silu(x)) * (1 + self.emb_linear(emb, self.emb_gain.double()))[:, :, None, None]
        x = mixed(skipped, self.conv_res1(mp_silu(y)), self.res_balance)
        if self.heads:
            x = mixed(x, self.attn_proj(self.attend(x)), self.attn_balance)
        return x.clip(-self.clip_act, self.clip_act)

    def attend(self, x: Tensor) -> Tensor:
        """Attention; each head's channels alternate between q, k and v."""
        B, C, H, W = x.shape
        qkv = self.attn_qkv(x).view(B, self.heads, C // self.heads, 3, H * W)
        q, k, v = (qkv / rms(qkv, 2)).unbind(3)
        weights = torch.softmax(q.transpose(2, 3) @ k / math.sqrt(C // self.heads), dim=-1)
        return (v @ weights.transpose(2, 3)).reshape(B, C, H, W)


class UNet(Persistent):
    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        of = {**TINY, **given}
        widths = [of["model_channels"] * mult for mult in of["channel_mult"]]
        emb, self.label_dim = max(widths), of["label_dim"]
        self.out_gain = nn.Parameter(torch.empty([]))
        self.emb_fourier, self.emb_noise = MPFourier(widths[0]), MPConv(widths[0], emb)
        self.emb_label = MPConv(self.label_dim, emb) if self.label_dim else None
        self.enc, self.dec = nn.ModuleDict(), nn.ModuleDict()
        at, kept = widths[0], []
        for level, width in enumerate(widths):
            size = of["img_resolution"] >> level
            heads = width // of["channels_per_head"] if size in of["attn_resolutions"] else 0
            if level:
                self.enc[f"{size}x{size}_down"] = Block(at, at, emb, "enc", mode="down")
            else:
                self.enc[f"{size}x{size}_conv"] = MPConv(of["img_channels"] + 1, at, 3, 3)
            kept.append(at)
            for k in range(of["num_blocks"]):
                self.enc[f"{size}x{size}_block{k}"] = Block(at, width, emb, "enc", heads)
                at = width
                kept.append(at)
        for level in range(len(widths))[::-1]:
            size, width = of["img_resolution"] >> level, widths[level]
            heads = width // of["channels_per_head"] if size in of["attn_resolutions"] else 0
            if level == len(widths) - 1:
                self.dec[f"{size}x{size}_in0"] = Block(at, at, emb, "dec", at // of["channels_per_head"])
                self.dec[f"{size}x{size}_in1"] = Block(at, at, emb, "dec")
            else:
                self.dec[f"{size}x{size}_up"] = Block(at, at, emb, "dec", mode="up")
            for k in range(of["num_blocks"] + 1):
                self.dec[f"{size}x{size}_block{k}"] = Block(at + kept.pop(), width, emb, "dec", heads)
                at = width
        self.out_conv = MPConv(at, of["img_channels"], 3, 3)

    def forward(self, x: Tensor, c_noise: Tensor, labels: Tensor) -> Tensor:
        emb = self.emb_noise(self.emb_fourier(c_noise))
        if self.emb_label is not None:
            one_hot = functional.one_hot(labels, self.label_dim).double()
            emb = mixed(emb, self.emb_label(one_hot * math.sqrt(self.label_dim)), 0.5)
        emb, kept = mp_silu(emb), []
        x = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
        for block in self.enc.values():
            x = block(x) if isinstance(block, MPConv) else block(x, emb)
            kept.append(x)
        for name, block in self.dec.items():
            if "block" in name:
                a, b = x, kept.pop()
                both = math.sqrt((a.shape[1] + b.shape[1]) / 2)
                x = torch.cat([a * both / math.sqrt(a.shape[1]), b * both / math.sqrt(b.shape[1])], dim=1)
            x = block(x, emb)
        return self.out_conv(x, self.out_gain.double())


class Precond(Persistent):
    def __init__(self, unet: UNet) -> None:
        super().__init__(img_resolution=8)
        self.sigma_data, self.label_dim, self.use_fp16 = np.float64(0.5), unet.label_dim, True
        self.unet, self.logvar_fourier, self.logvar_linear = unet, MPFourier(4), MPConv(4, 1)

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        x, s, d = x.double(), sigma.double().view(-1, 1, 1, 1), float(self.sigma_data)
        F = self.unet(x / (s**2 + d**2).sqrt(), sigma.double().log() / 4, labels)
        return d**2 / (s**2 + d**2) * x + s * d / (s**2 + d**2).sqrt() * F


class Encoder:
    """The encoder of the states, pickled like NVIDIA's: with arrays, and without its autoencoder."""

    def __init__(self, class_name: str, **attributes: Any) -> None:
        self.class_name, self.attributes = class_name, attributes

    def __reduce__(self) -> tuple[Any, ...]:
        state = EasyDict(_init_args=(), _init_kwargs=EasyDict(), _vae=None, **self.attributes)
        meta = EasyDict(type="class", version=6, module_src=edm_pickles.SOURCE, class_name=self.class_name, state=state)
        return edm_pickles._reconstruct_persistent_obj, (meta,)


def latents(**changes: Any) -> Encoder:
    """The encoder of published networks on latents, with changes."""
    scale = np.float32(0.5) / RAW_STD
    given = {"vae_name": "stabilityai/sd-vae-ft-mse", "scale": scale, "bias": -RAW_MEAN * scale, "batch_size": 8}
    return Encoder("StabilityVAEEncoder", **{**given, **changes})


def network(seed: int = 0, **changes: Any) -> Precond:
    """A network with random weights in float16, like published ones."""
    unet = UNet(**{**TINY, **changes})
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in [*unet.parameters(), *unet.buffers()]:
            tensor.normal_(generator=generator)
        for buffer in unet.buffers():
            buffer *= 2 * math.pi
        for name, parameter in unet.named_parameters():
            if name.endswith("gain"):
                parameter.fill_(0.7)
    return Precond(unet).half().eval().requires_grad_(False)


def save(precond: object, path: Path, encoder: object = None) -> Path:
    """Save a checkpoint with everything that published ones hold."""
    content = EasyDict(encoder=latents() if encoder is None else encoder, dataset_kwargs=EasyDict(), ema=precond)
    path.write_bytes(edm_pickles.dumps(content))
    return path
