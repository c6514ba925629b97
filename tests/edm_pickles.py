"""Small EDM checkpoints in NVIDIA's form, and the plain network that they hold, to compare with.

The network follows its description (Dhariwal and Nichol 2021; Karras et al. 2022, appendix F), has the published
parameter names, and shares no code with the package's own. Stand-ins for the modules ``torch_utils.persistence`` and
``dnnlib.util`` are there while it is pickled, so that files have the same names as real ones.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

SOURCE = "raise SystemExit('the source inside a checkpoint was run')"
"""Text in place of the modules' source code, which the official loader would run."""

TINY: dict[str, Any] = {
    "img_resolution": 8,
    "label_dim": 4,
    "model_channels": 32,
    "channel_mult": [1, 2],
    "channel_mult_emb": 2,
    "num_blocks": 1,
    "attn_resolutions": [4],
}
"""Arguments of a network that is small enough for tests."""


class EasyDict(dict):
    """Stands for ``dnnlib.util.EasyDict`` in files."""


def _reconstruct_persistent_obj(meta: EasyDict) -> None:
    """Stands for the function of that name in files; never called."""
    raise AssertionError(meta)


EasyDict.__module__, _reconstruct_persistent_obj.__module__ = "dnnlib.util", "torch_utils.persistence"


@contextmanager
def nvidia_modules() -> Iterator[None]:
    """Make both modules importable, as ``pickle`` demands when it writes their names."""
    names = {"dnnlib": {}, "dnnlib.util": {"EasyDict": EasyDict}, "torch_utils": {}}
    names["torch_utils.persistence"] = {"_reconstruct_persistent_obj": _reconstruct_persistent_obj}
    for name, content in names.items():
        sys.modules[name] = ModuleType(name)
        vars(sys.modules[name]).update(content)
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]


class Persistent(nn.Module):
    """A module that is pickled like NVIDIA's: source, class name and attributes."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__()
        self._init_args, self._init_kwargs = args, kwargs

    def __reduce__(self) -> tuple[Any, ...]:
        state = EasyDict(self.__dict__)
        meta = EasyDict(type="class", version=6, module_src=SOURCE, class_name=type(self).__name__, state=state)
        return _reconstruct_persistent_obj, (meta,)


class Both(Persistent):
    """A module with the same part twice."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.first = self.second = part


class Linear(Persistent):
    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__(inputs, outputs, init_weight=np.sqrt(1 / 3), init_bias=np.float32(0.5))
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.bias = nn.Parameter(torch.empty(outputs)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight, self.bias)


class Conv2d(Persistent):
    """A convolution after doubling or halving the resolution; without a kernel, only the change of resolution."""

    def __init__(self, inputs: int, outputs: int, kernel: int, resample: str = "") -> None:
        super().__init__(inputs, outputs, kernel=kernel)
        self.resample = resample
        self.weight = nn.Parameter(torch.empty(outputs, inputs, kernel, kernel)) if kernel else None
        self.bias = nn.Parameter(torch.empty(outputs)) if kernel else None
        self.register_buffer("resample_filter", torch.full((1, 1, 2, 2), 0.25) if resample else None)

    def forward(self, x: Tensor) -> Tensor:
        if self.resample == "up":
            x = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        if self.resample == "down":
            x = sum(x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)) / 4
        if self.weight is None:
            return x
        return functional.conv2d(x, self.weight, self.bias, padding=self.weight.shape[-1] // 2)


class GroupNorm(Persistent):
    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.groups = min(32, channels // 4)
        self.weight, self.bias = nn.Parameter(torch.empty(channels)), nn.Parameter(torch.empty(channels))

    def forward(self, x: Tensor) -> Tensor:
        return functional.group_norm(x, self.groups, self.weight, self.bias, eps=1e-5)


class UNetBlock(Persistent):
    """A residual block, whose second normalisation the embedding scales and shifts; then attention."""

    def __init__(self, inputs: int, outputs: int, emb: int, resample: str = "", attention: bool = False) -> None:
        super().__init__(in_channels=inputs, out_channels=outputs, emb_channels=emb)
        self.inputs, self.heads = inputs, outputs // 64 if attention else 0
        self.norm0, self.conv0 = GroupNorm(inputs), Conv2d(inputs, outputs, 3, resample)
        self.affine = Linear(emb, 2 * outputs)
        self.norm1, self.conv1 = GroupNorm(outputs), Conv2d(outputs, outputs, 3)
        self.skip = None
        if inputs != outputs or resample:
            self.skip = Conv2d(inputs, outputs, 1 if inputs != outputs else 0, resample)
        if self.heads:
            self.norm2 = GroupNorm(outputs)
            self.qkv, self.proj = Conv2d(outputs, 3 * outputs, 1), Conv2d(outputs, outputs, 1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        scale, shift = self.affine(emb)[:, :, None, None].chunk(2, dim=1)
        y = self.conv0(functional.silu(self.norm0(x)))
        y = self.conv1(functional.silu(self.norm1(y) * (1 + scale) + shift))
        y = y + (x if self.skip is None else self.skip(x))
        return y + self.proj(self.attend(y)) if self.heads else y

    def attend(self, y: Tensor) -> Tensor:
        """Attention; each head's channels alternate between q, k and v."""
        B, C, H, W = y.shape
        qkv = self.qkv(self.norm2(y)).view(B, self.heads, C // self.heads, 3, H * W)
        q, k, v = qkv.unbind(dim=3)
        weights = torch.softmax(q.transpose(2, 3) @ k / (C // self.heads) ** 0.5, dim=-1)
        return (v @ weights.transpose(2, 3)).reshape(B, C, H, W)


class DhariwalUNet(Persistent):
    def __init__(
        self,
        img_resolution: int,
        in_channels: int = 3,
        out_channels: int = 3,
        label_dim: int = 0,
        model_channels: int = 192,
        channel_mult: list[int] | tuple[int, ...] = (1, 2, 3, 4),
        channel_mult_emb: int = 4,
        num_blocks: int = 3,
        attn_resolutions: list[int] | tuple[int, ...] = (32, 16, 8),
    ) -> None:
        given = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        super().__init__(**given, dropout=0.1)
        emb, self.channels = model_channels * channel_mult_emb, model_channels
        self.map_layer0, self.map_layer1 = Linear(model_channels, emb), Linear(emb, emb)
        self.map_label = Linear(label_dim, emb, bias=False) if label_dim else None
        levels = [(img_resolution >> k, mult * model_channels) for k, mult in enumerate(channel_mult)]
        width, kept = levels[0][1], []
        self.enc, self.dec = nn.ModuleDict(), nn.ModuleDict()

        def add(side: nn.ModuleDict, name: str, inputs: int, outputs: int, **how: object) -> int:
            side[name] = UNetBlock(inputs, outputs, emb, **how)
            return outputs

        for size, outputs in levels:
            if size == img_resolution:
                self.enc[f"{size}x{size}_conv"] = Conv2d(in_channels, width, 3)
            else:
                add(self.enc, f"{size}x{size}_down", width, width, resample="down")
            kept.append(width)
            for k in range(num_blocks):
                attention = size in attn_resolutions
                width = add(self.enc, f"{size}x{size}_block{k}", width, outputs, attention=attention)
                kept.append(width)
        for size, outputs in levels[::-1]:
            if size == levels[-1][0]:
                add(self.dec, f"{size}x{size}_in0", width, width, attention=True)
                add(self.dec, f"{size}x{size}_in1", width, width)
            else:
                add(self.dec, f"{size}x{size}_up", width, width, resample="up")
            for k in range(num_blocks + 1):
                attention = size in attn_resolutions
                width = add(self.dec, f"{size}x{size}_block{k}", width + kept.pop(), outputs, attention=attention)
        self.out_norm, self.out_conv = GroupNorm(width), Conv2d(width, out_channels, 3)

    def forward(self, x: Tensor, c_noise: Tensor, one_hot: Tensor | None) -> Tensor:
        half = self.channels // 2
        angles = c_noise[:, None] * (1 / 10000) ** (torch.arange(half) / half)
        emb = self.map_layer1(functional.silu(self.map_layer0(torch.cat([angles.cos(), angles.sin()], dim=1))))
        emb = functional.silu(emb if self.map_label is None else emb + self.map_label(one_hot))
        kept = []
        for block in self.enc.values():
            x = block(x, emb) if isinstance(block, UNetBlock) else block(x)
            kept.append(x)
        for block in self.dec.values():
            x = block(x if x.shape[1] == block.inputs else torch.cat([x, kept.pop()], dim=1), emb)
        return self.out_conv(functional.silu(self.out_norm(x)))


class EDMPrecond(Persistent):
    """Karras et al. 2022, Table 1."""

    def __init__(self, model: nn.Module, label_dim: int, sigma_data: float = 0.5) -> None:
        super().__init__(img_resolution=8, label_dim=label_dim, sigma_data=sigma_data)
        self.sigma_min, self.sigma_max, self.sigma_data, self.label_dim = 0, float("inf"), sigma_data, label_dim
        self.model = model

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        s, d = sigma.view(-1, 1, 1, 1), self.sigma_data
        one_hot = functional.one_hot(labels, self.label_dim).to(x.dtype) if self.label_dim else None
        F = self.model(x / (s**2 + d**2).sqrt(), sigma.log() / 4, one_hot)
        return d**2 / (s**2 + d**2) * x + s * d / (s**2 + d**2).sqrt() * F


def network(seed: int = 0, **arguments: Any) -> EDMPrecond:
    """A network with random weights of a size that keeps its activations near 1."""
    unet = DhariwalUNet(**arguments)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in unet.named_parameters():
            parameter.normal_(generator=generator)
            fan_in = parameter[0].numel()
            parameter *= fan_in**-0.5 if fan_in > 1 else 0.1
            if "norm" in name and name.endswith("weight"):
                parameter += 1
    return EDMPrecond(unet, unet._init_kwargs["label_dim"]).eval().requires_grad_(False)


def renamed(kind: type[nn.Module], name: str) -> type[nn.Module]:
    """The same class under another name."""
    return type(name, (kind,), {})


def dumps(content: object, protocol: int = 4) -> bytes:
    """A pickle that names NVIDIA's modules."""
    with nvidia_modules():
        return pickle.dumps(content, protocol)


def save(ema: object, path: Path, protocol: int = 4) -> Path:
    """Save a checkpoint with everything that published ones hold."""
    content = {"ema": ema, "loss_fn": None, "augment_pipe": None, "dataset_kwargs": EasyDict(resolution=64)}
    path.write_bytes(dumps(content, protocol))
    return path


class Calls:
    """An object whose pickle calls a function."""

    def __init__(self, function: Callable[..., object], *args: object) -> None:
        self.call = function, args

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call
