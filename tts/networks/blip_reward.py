"""BLIP with a head (Li et al. 2022, arXiv 2201.12086; Xu et al. 2023, arXiv 2304.05977), on transformers' classes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn
from transformers.models.blip.configuration_blip import BlipTextConfig, BlipVisionConfig
from transformers.models.blip.modeling_blip import BlipVisionModel
from transformers.models.blip.modeling_blip_text import BlipTextModel

from tts.files.tensors import fill

HEAD = 64
"""Channels of an attention head."""

VISION = (
    (r"patch_embed\.proj\.", "embeddings.patch_embedding."),
    (r"cls_token$", "embeddings.class_embedding"),
    (r"pos_embed$", "embeddings.position_embedding"),
    (r"norm\.", "post_layernorm."),
    (r"blocks\.(\d+)\.attn\.qkv\.", r"encoder.layers.\1.self_attn.qkv."),
    (r"blocks\.(\d+)\.attn\.proj\.", r"encoder.layers.\1.self_attn.projection."),
    (r"blocks\.(\d+)\.norm(\d)\.", r"encoder.layers.\1.layer_norm\2."),
    (r"blocks\.(\d+)\.mlp\.", r"encoder.layers.\1.mlp."),
)
"""Names in the published image encoder, and in transformers."""

UNUSED = ("blip.vision_proj.", "blip.text_proj.", "blip.text_encoder.embeddings.position_ids")
"""Parts of the published file that the reward does not use."""


class BlipReward(nn.Module):
    """``(pixels [B, 3, S, S], tokens [B, L], mask [B, L]) -> [B]``: the head's value of the first token.

    Args:
        vision, text: transformers' configurations.
        widths: widths of the head's linear layers, from first input to last output.

    Attributes:
        image_size: height and width of the images.
        sizes: sizes of the text encoder, by their keys in BLIP's med_config.json.
    """

    def __init__(self, vision: BlipVisionConfig, text: BlipTextConfig, widths: list[int]) -> None:
        super().__init__()
        self.image_size = int(vision.image_size)
        names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size")
        sizes = {name: int(getattr(text, name)) for name in (*names, "max_position_embeddings")}
        self.sizes = {**sizes, "encoder_width": int(text.encoder_hidden_size)}
        self.vision, self.text = BlipVisionModel(vision), BlipTextModel(text, add_pooling_layer=False)
        self.head = nn.Sequential(*(nn.Linear(a, b) for a, b in pairwise(widths)))

    def forward(self, pixels: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        """The head's value for each image and prompt, ``[B]``."""
        seen = self.vision(pixel_values=pixels.to(self.vision.dtype)).last_hidden_state
        read = self.text(
            input_ids=tokens,
            attention_mask=mask,
            encoder_hidden_states=seen,
            encoder_attention_mask=torch.ones(seen.shape[:2], dtype=torch.long, device=seen.device),
        ).last_hidden_state
        values: Tensor = self.head(read[:, 0].to(self.head[0].weight.dtype))[:, 0]
        return values


def build(found: Mapping[str, Tensor]) -> BlipReward:
    """The network for published weights; its sizes follow from theirs.

    Raises:
        KeyError: a weight that determines a size is missing.
        WeightsError: the weights are for another network.
    """
    vision, text, heads = _vision_config(found), _text_config(found), _head_places(found)
    widths = [found[f"mlp.layers.{heads[0]}.weight"].shape[1]]
    widths += [len(found[f"mlp.layers.{place}.weight"]) for place in heads]
    network = BlipReward(vision, text, widths)
    renamed = {_renamed(name, heads): tensor for name, tensor in found.items() if not name.startswith(UNUSED)}
    own = {name: tensor for name, tensor in network.state_dict().items() if name.endswith("position_ids")}
    fill(network, {**own, **renamed}, "is no ImageReward")
    return network


def _vision_config(found: Mapping[str, Tensor]) -> BlipVisionConfig:
    patches, prefix = found["blip.visual_encoder.patch_embed.proj.weight"], "blip.visual_encoder."
    width, patch = patches.shape[0], patches.shape[-1]
    positions = found[prefix + "pos_embed"].shape[1] - 1
    return BlipVisionConfig(
        hidden_size=width,
        intermediate_size=len(found[prefix + "blocks.0.mlp.fc1.weight"]),
        num_hidden_layers=_layers(found, r"blip\.visual_encoder\.blocks\.(\d+)\."),
        num_attention_heads=width // HEAD,
        image_size=patch * round(positions**0.5),
        patch_size=patch,
        layer_norm_eps=1e-6,
        hidden_act="gelu",
    )


def _text_config(found: Mapping[str, Tensor]) -> BlipTextConfig:
    prefix = "blip.text_encoder."
    words = found[prefix + "embeddings.word_embeddings.weight"]
    return BlipTextConfig(
        vocab_size=len(words),
        hidden_size=words.shape[1],
        encoder_hidden_size=found[prefix + "encoder.layer.0.crossattention.self.key.weight"].shape[1],
        intermediate_size=len(found[prefix + "encoder.layer.0.intermediate.dense.weight"]),
        num_hidden_layers=_layers(found, r"blip\.text_encoder\.encoder\.layer\.(\d+)\."),
        num_attention_heads=words.shape[1] // HEAD,
        max_position_embeddings=len(found[prefix + "embeddings.position_embeddings.weight"]),
        pad_token_id=0,
        bos_token_id=None,
        sep_token_id=None,
        eos_token_id=None,
        is_decoder=True,  # transformers' name for cross-attention
        layer_norm_eps=1e-12,
        hidden_act="gelu",
    )


def _layers(found: Mapping[str, Tensor], pattern: str) -> int:
    return 1 + max(int(match[1]) for name in found if (match := re.match(pattern, name)))


def _head_places(found: Mapping[str, Tensor]) -> list[int]:
    """Indices of the head's linear layers; the other indices were dropouts."""
    places = sorted({int(match[1]) for name in found if (match := re.match(r"mlp\.layers\.(\d+)\.weight$", name))})
    if not places:
        raise KeyError("mlp.layers.0.weight")
    return places


def _renamed(name: str, heads: list[int]) -> str:
    if name.startswith("blip.text_encoder."):
        return name.replace("blip.text_encoder.", "text.", 1)
    if name.startswith("mlp.layers."):
        place, kind = name.removeprefix("mlp.layers.").split(".", 1)
        return f"head.{heads.index(int(place))}.{kind}" if int(place) in heads else name
    inner = name.removeprefix("blip.visual_encoder.")
    for theirs, ours in VISION:
        if re.match(theirs, inner):
            return "vision." + re.sub(theirs, ours, inner, count=1)
    return name
