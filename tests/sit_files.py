"""Small random networks of SiT and REPA in their published form."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from diffusers import DiTTransformer2DModel
from torch import Tensor, nn

NAMES = {
    "pos_embed.proj.": "x_embedder.proj.",
    "norm1.emb.timestep_embedder.linear_1.": "t_embedder.mlp.0.",
    "norm1.emb.timestep_embedder.linear_2.": "t_embedder.mlp.2.",
    "norm1.emb.class_embedder.": "y_embedder.",
    "norm1.linear.": "adaLN_modulation.1.",
    "attn1.to_out.0.": "attn.proj.",
    "ff.net.0.proj.": "mlp.fc1.",
    "ff.net.2.": "mlp.fc2.",
    "proj_out_1.": "final_layer.adaLN_modulation.1.",
    "proj_out_2.": "final_layer.linear.",
    "transformer_blocks.": "blocks.",
}
"""diffusers' names of DiT's layers, and the published ones."""


def dit(variance: bool = True, side: int = 8, classes: int = 5) -> DiTTransformer2DModel:
    """diffusers' own network of this kind; all blocks share one time embedding with the published frequencies."""
    torch.manual_seed(0)
    network = DiTTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=64,
        in_channels=4,
        out_channels=8 if variance else 4,
        num_layers=2,
        sample_size=side,
        patch_size=2,
        num_embeds_ada_norm=classes,
    )
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1)
    first = network.transformer_blocks[0].norm1.emb
    for block in network.transformer_blocks:
        block.norm1.emb.load_state_dict(first.state_dict())
        block.norm1.emb.time_proj.downscale_freq_shift = 0
    return network.eval().requires_grad_(False)


def published(network: Any) -> dict[str, Tensor]:
    """The weights of diffusers' network under the published names."""
    found: dict[str, Tensor] = {"pos_embed": network.pos_embed.pos_embed.clone()}
    for name, tensor in network.state_dict().items():
        for theirs, ours in NAMES.items():
            name = name.replace(theirs, ours)
        if name.startswith("blocks.") and ("t_embedder" in name or "y_embedder" in name):
            name = name.split(".", 2)[2]  # one embedding serves all blocks
        found[name] = tensor.clone()
    for block in range(network.config.num_layers):
        for kind in ("weight", "bias"):
            parts = [found.pop(f"blocks.{block}.attn1.to_{part}.{kind}") for part in "qkv"]
            found[f"blocks.{block}.attn.qkv.{kind}"] = torch.cat(parts)
    found.pop("pos_embed.pos_embed", None)
    return found


def trained(weights: dict[str, Tensor]) -> dict[str, Any]:
    """The content of REPA's training files, with layers that only training needs."""
    ema = {**weights, "projectors.0.0.weight": torch.zeros(3, 3)}
    return {"model": {"x": torch.zeros(1)}, "ema": ema, "opt": {"state": {}}, "args": argparse.Namespace(lr=1e-4)}


def save(content: Any, path: Path) -> Path:
    """Write a file by ``torch.save``."""
    torch.save(content, path)
    return path
