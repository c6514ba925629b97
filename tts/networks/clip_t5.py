"""CLIP-FlanT5 (Lin et al. 2024, arXiv 2404.01291, Sec. 4): T5 that reads an image's patches as tokens."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tts.errors import WeightsError
from tts.files import tensors
from tts.models.parts import check_told

TOWER, PROJECTOR = "vision_tower.vision_tower.", "mm_projector."
ALIAS = "embed_tokens.weight"
"""A second name of T5's embeddings in published files."""
FIXED = {"mm_projector_type": "mlp2x_gelu", "mm_vision_select_layer": -2, "mm_vision_select_feature": "patch"}
"""Values in the published configurations that say how patches become tokens."""
PREFIX, TABLE = "vision_model.", "position_ids"
"""Prefix of an image encoder's names in published files, and a table of positions that some of them have."""
NONE = re.compile(r"(?!)")
TIED = re.compile(r"(encoder|decoder)\.embed_tokens\.weight$")
"""Names of T5's embeddings in its parts; all are one tensor."""


class ClipT5(nn.Module):
    """An image encoder, a projection of its patches to token embeddings, and T5."""

    def __init__(self, tower: Any, projector: nn.Sequential, t5: Any) -> None:
        super().__init__()
        self.tower, self.projector, self.t5 = tower, projector, t5

    def log_chances(self, pixels: Tensor, before: Tensor, after: Tensor, answer: Tensor) -> Tensor:
        """Log-probability of each token of an answer, given those before it.

        Args:
            pixels: one image, ``[1, 3, size, size]``.
            before, after: tokens of the question on both sides of the image, ``[L]`` each.
            answer: tokens, ``[A]``.

        Returns:
            ``[A]``, float64.
        """
        patches = self.tower(pixel_values=pixels, output_hidden_states=True).hidden_states[-2][0, 1:]
        words = self.t5.get_input_embeddings()
        question = torch.cat([words(before), self.projector(patches), words(after)])[None]
        logits = self.t5(inputs_embeds=question, labels=answer[None]).logits[0]
        found: Tensor = logits.double().log_softmax(dim=-1).gather(1, answer[:, None])[:, 0]
        return found


def build(
    found: Mapping[str, Tensor], config: dict[str, Any], tower: Mapping[str, Tensor], vision: Any, dtype: torch.dtype
) -> ClipT5:
    """The network with weights under their published names.

    Args:
        config: the published config.json.
        tower: weights of the image encoder, for files that lack them.
        vision: configuration of the image encoder, transformers' ``CLIPVisionConfig``.

    Raises:
        WeightsError: the weights are for another network.
        OSError, ValueError, RuntimeError, KeyError, TypeError: raised by transformers for another configuration.
    """
    from transformers import CLIPVisionModel, T5Config, T5ForConditionalGeneration

    for key, value in FIXED.items():
        if config.get(key, value) != value:
            raise WeightsError(f"its config.json has {key} = {config[key]}; only {value} is supported")
    own = {name.removeprefix(TOWER): value for name, value in found.items() if name.startswith(TOWER)}
    text = {name: each for name, each in found.items() if not name.startswith((TOWER, PROJECTOR)) and name != ALIAS}
    if "shared.weight" not in text:
        raise WeightsError("they are not CLIP-FlanT5's (no shared.weight)")
    words = T5Config.from_dict({**config, "model_type": "t5", "vocab_size": len(text["shared.weight"])})
    t5 = _filled(T5ForConditionalGeneration, words, text, dtype, "T5", TIED)
    seeing = _as_named_here(own or tower, CLIPVisionModel, vision)
    eyes = _filled(CLIPVisionModel, vision, seeing, dtype, "the image encoder", NONE)
    return ClipT5(eyes, _projector(found).to(dtype), t5)


def _as_named_here(found: Mapping[str, Tensor], kind: Any, config: Any) -> dict[str, Tensor]:
    """An image encoder's weights with or without its prefix, as the installed transformers names them."""
    with torch.device("meta"):
        prefix = PREFIX if any(name.startswith(PREFIX) for name in kind(config).state_dict()) else ""
    return {prefix + name.removeprefix(PREFIX): each for name, each in found.items() if not name.endswith(TABLE)}


def _filled(
    kind: Any, config: Any, state: Mapping[str, Tensor], dtype: torch.dtype, what: str, others: re.Pattern[str]
) -> Any:
    network, told = kind.from_pretrained(
        None, config=config, state_dict=dict(state), dtype=dtype, output_loading_info=True
    )
    check_told(told, what, others)
    return network


def _projector(found: Mapping[str, Tensor]) -> nn.Sequential:
    """Two layers with a GELU between them."""
    own = {name.removeprefix(PROJECTOR): each.float() for name, each in found.items() if name.startswith(PROJECTOR)}
    weights: Sequence[Tensor | None] = [own.get("0.weight"), own.get("2.weight")]
    with torch.device("meta"):
        layers = [nn.Linear(*weight.shape[::-1]) for weight in weights if weight is not None]
    if len(layers) != len(weights):
        raise WeightsError(f"they are not CLIP-FlanT5's (no {PROJECTOR}0.weight and {PROJECTOR}2.weight)")
    projector = nn.Sequential(layers[0], nn.GELU(), layers[1])
    tensors.fill(projector, own, "the projector")
    return projector
