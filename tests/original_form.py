"""A tiny Stable Diffusion in its authors' single-file form: diffusers' names are turned back into theirs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

RESNET = {
    "norm1.": "in_layers.0.",
    "conv1.": "in_layers.2.",
    "time_emb_proj.": "emb_layers.1.",
    "norm2.": "out_layers.0.",
    "conv2.": "out_layers.3.",
    "conv_shortcut.": "skip_connection.",
}
UNET_ENDS = {
    "time_embedding.linear_1.": "time_embed.0.",
    "time_embedding.linear_2.": "time_embed.2.",
    "conv_in.": "input_blocks.0.0.",
    "conv_norm_out.": "out.0.",
    "conv_out.": "out.2.",
}
ATTENTION = {"group_norm.": "norm.", "to_q.": "q.", "to_k.": "k.", "to_v.": "v.", "to_out.0.": "proj_out."}


def save(pipeline: Any, path: Path) -> Path:
    """Write a pipeline's networks into one file."""
    levels = len(pipeline.unet.config.block_out_channels)
    unet, vae, text = (part.state_dict() for part in (pipeline.unet, pipeline.vae, pipeline.text_encoder))
    tensors: dict[str, Tensor] = {}
    for name, value in unet.items():
        tensors[f"model.diffusion_model.{unet_name(name, levels)}"] = value
    for name, value in vae.items():
        theirs = vae_name(name, levels)
        attention = ".attn_1." in theirs and theirs.endswith(".weight") and value.ndim == 2
        tensors[f"first_stage_model.{theirs}"] = value[:, :, None, None] if attention else value
    for name, value in text.items():
        prefix = "" if name.startswith("text_model.") else "text_model."
        tensors[f"cond_stage_model.transformer.{prefix}{name}"] = value
    save_file({name: value.contiguous().clone() for name, value in tensors.items()}, path)
    return path


def unet_name(name: str, levels: int) -> str:
    """The authors' name of a UNet's tensor; the network has one residual block per level."""
    for ours, theirs in UNET_ENDS.items():
        if name.startswith(ours):
            return name.replace(ours, theirs, 1)
    if found := re.match(r"mid_block\.(resnets|attentions)\.(\d)\.(.*)", name):
        place = 1 if found[1] == "attentions" else 2 * int(found[2])
        return f"middle_block.{place}.{_resnet(found[3]) if place != 1 else found[3]}"
    if found := re.match(r"down_blocks\.(\d)\.downsamplers\.0\.conv\.(.*)", name):
        return f"input_blocks.{2 * (int(found[1]) + 1)}.0.op.{found[2]}"
    if found := re.match(r"down_blocks\.(\d)\.(resnets|attentions)\.0\.(.*)", name):
        return f"input_blocks.{1 + 2 * int(found[1])}.{_part(found[2], found[3])}"
    if found := re.match(r"up_blocks\.(\d)\.upsamplers\.0\.conv\.(.*)", name):
        return f"output_blocks.{2 * int(found[1]) + 1}.{2 if int(found[1]) < levels - 1 else 1}.conv.{found[2]}"
    found = re.match(r"up_blocks\.(\d)\.(resnets|attentions)\.(\d)\.(.*)", name)
    assert found, name
    return f"output_blocks.{2 * int(found[1]) + int(found[3])}.{_part(found[2], found[4])}"


def _part(kind: str, rest: str) -> str:
    return f"0.{_resnet(rest)}" if kind == "resnets" else f"1.{rest}"


def _resnet(rest: str) -> str:
    return next(theirs + rest.removeprefix(ours) for ours, theirs in RESNET.items() if rest.startswith(ours))


def vae_name(name: str, levels: int) -> str:
    """The authors' name of a VAE's tensor; they count decoder levels from the image inwards."""
    name = name.replace("conv_norm_out.", "norm_out.").replace("conv_shortcut.", "nin_shortcut.")
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda found: f"mid.block_{int(found[1]) + 1}", name)
    if "mid_block.attentions.0." in name:
        head, _, rest = name.partition("mid_block.attentions.0.")
        return f"{head}mid.attn_1." + next(t + rest.removeprefix(o) for o, t in ATTENTION.items() if rest.startswith(o))
    name = re.sub(r"down_blocks\.(\d)\.resnets", r"down.\1.block", name)
    name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(r"up_blocks\.(\d)\.resnets", lambda found: f"up.{levels - 1 - int(found[1])}.block", name)
    return re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda found: f"up.{levels - 1 - int(found[1])}.upsample", name)
