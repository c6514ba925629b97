"""ImageReward's published computation, by functions of torch on a file's tensors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def image_reward(w: dict[str, Tensor], image: Tensor, tokens: list[int]) -> float:
    """The score of an image, [3, H, W] from 0 to 255, under a prompt's tokens, by weights w in float64."""

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(x: Tensor, name: str, eps: float) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"], eps)

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:  # one head of 64
        return (q @ k.T / 8).softmax(dim=-1) @ v

    mean, std = (torch.tensor(list(part)).double().view(3, 1, 1) for part in (MEAN, STD))
    seen = "blip.visual_encoder"
    x = F.conv2d(
        ((image.double() / 255 - mean) / std)[None],
        w[f"{seen}.patch_embed.proj.weight"],
        w[f"{seen}.patch_embed.proj.bias"],
        stride=8,
    )
    x = torch.cat([w[f"{seen}.cls_token"][0], x[0].flatten(1).T]) + w[f"{seen}.pos_embed"][0]
    for k in range(2):
        block = f"{seen}.blocks.{k}"
        x = x + linear(
            attend(*linear(norm(x, f"{block}.norm1", 1e-6), f"{block}.attn.qkv").chunk(3, dim=-1)), f"{block}.attn.proj"
        )
        x = x + linear(F.gelu(linear(norm(x, f"{block}.norm2", 1e-6), f"{block}.mlp.fc1")), f"{block}.mlp.fc2")
    image_tokens = norm(x, f"{seen}.norm", 1e-6)
    read = "blip.text_encoder"
    x = (
        w[f"{read}.embeddings.word_embeddings.weight"][tokens]
        + w[f"{read}.embeddings.position_embeddings.weight"][: len(tokens)]
    )
    x = norm(x, f"{read}.embeddings.LayerNorm", 1e-12)
    for k in range(2):
        block = f"{read}.encoder.layer.{k}"
        for attention, keys in (("attention", None), ("crossattention", image_tokens)):
            part, other = f"{block}.{attention}", x if keys is None else keys
            mixed = attend(
                *(
                    linear(source, f"{part}.self.{name}")
                    for source, name in ((x, "query"), (other, "key"), (other, "value"))
                )
            )
            x = norm(x + linear(mixed, f"{part}.output.dense"), f"{part}.output.LayerNorm", 1e-12)
        inner = linear(F.gelu(linear(x, f"{block}.intermediate.dense")), f"{block}.output.dense")
        x = norm(x + inner, f"{block}.output.LayerNorm", 1e-12)
    x = x[0]
    for place in (0, 2, 4):
        x = linear(x, f"mlp.layers.{place}")
    return (float(x) - 0.16717362830052426) / 1.0333394966054072
