"""Guided diffusion's published classifier, computed from its raw weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def published(w: dict[str, Tensor], x: Tensor, t: float, depth: int) -> Tensor:
    """Guided diffusion's classifier by functions of torch on its raw weights, in float64."""
    w = {name: value.double() for name, value in w.items()}

    def norm(x: Tensor, name: str) -> Tensor:
        return F.group_norm(x, 32, w[f"{name}.weight"], w[f"{name}.bias"], 1e-5)

    def conv(x: Tensor, name: str) -> Tensor:
        weight = w[f"{name}.weight"]
        return F.conv2d(x, weight, w[f"{name}.bias"], padding=weight.shape[-1] // 2)

    def block(x: Tensor, name: str, down: bool) -> Tensor:
        h = F.silu(norm(x, f"{name}.in_layers.0"))
        if down:
            h, x = F.avg_pool2d(h, 2), F.avg_pool2d(x, 2)
        h = conv(h, f"{name}.in_layers.2")
        told = F.linear(F.silu(emb), w[f"{name}.emb_layers.1.weight"], w[f"{name}.emb_layers.1.bias"])[..., None, None]
        if told.shape[1] == h.shape[1]:  # use_scale_shift_norm is false
            h = norm(h + told, f"{name}.out_layers.0")
        else:
            scale, shift = told.chunk(2, 1)
            h = norm(h, f"{name}.out_layers.0") * (1 + scale) + shift
        h = conv(F.silu(h), f"{name}.out_layers.3")
        return h + (conv(x, f"{name}.skip_connection") if f"{name}.skip_connection.weight" in w else x)

    def heads(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        weights = torch.einsum("bct,bcs->bts", q, k).div(math.sqrt(q.shape[1])).softmax(-1)
        return torch.einsum("bts,bcs->bct", weights, v)

    def attention(x: Tensor, name: str) -> Tensor:
        flat = x.flatten(2)
        qkv = F.conv1d(norm(flat, f"{name}.norm"), w[f"{name}.qkv.weight"], w[f"{name}.qkv.bias"])
        mixed = torch.cat([heads(*part.chunk(3, 1)) for part in qkv.split(192, 1)], 1)  # q, k, v of a head adjacent
        return x + F.conv1d(mixed, w[f"{name}.proj_out.weight"], w[f"{name}.proj_out.bias"]).view_as(x)

    width = len(w["input_blocks.0.0.weight"])
    angles = t * torch.exp(-math.log(10000) * torch.arange(width // 2).double() / (width // 2))
    emb = torch.cat([angles.cos(), angles.sin()]).expand(len(x), -1)
    emb = F.linear(emb, w["time_embed.0.weight"], w["time_embed.0.bias"])
    emb = F.linear(F.silu(emb), w["time_embed.2.weight"], w["time_embed.2.bias"])
    x = conv(x.double(), "input_blocks.0.0")
    count = len({name.split(".")[1] for name in w if name.startswith("input_blocks.")})
    for place in range(1, count):
        x = block(x, f"input_blocks.{place}.0", down=place % (depth + 1) == 0)
        if f"input_blocks.{place}.1.norm.weight" in w:
            x = attention(x, f"input_blocks.{place}.1")
    x = block(attention(block(x, "middle_block.0", False), "middle_block.1"), "middle_block.2", False)
    x = F.silu(norm(x, "out.0")).flatten(2)
    x = torch.cat([x.mean(-1, keepdim=True), x], -1) + w["out.2.positional_embedding"]
    q, k, v = F.conv1d(x, w["out.2.qkv_proj.weight"], w["out.2.qkv_proj.bias"]).chunk(3, 1)
    pooled = torch.cat([heads(*parts) for parts in zip(q.split(64, 1), k.split(64, 1), v.split(64, 1), strict=True)], 1)
    return F.conv1d(pooled, w["out.2.c_proj.weight"], w["out.2.c_proj.bias"])[:, :, 0]
