"""Qwen2-VL with a head on the hidden state of one token, as HPSv3's weights have it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tts.errors import WeightsError
from tts.files import tensors
from tts.models.parts import check_told

HEAD = re.compile(r"rm_head\.(\d+)\.(weight|bias)$")
INNER = (0, 3, 5)
"""Places of the head's layers in its authors' list: a ReLU and a dropout follow the first, a ReLU the second."""
NOTHING = re.compile(r"lm_head\.weight$")
"""Of the network that the weights were saved with, which answers in words; the head needs none."""


class PreferenceVL(nn.Module):
    """The network and its head, which is kept in fp32."""

    def __init__(self, network: Any, head: nn.Sequential) -> None:
        super().__init__()
        self.network, self.head = network, head

    def head_at(self, inputs: Mapping[str, Tensor], mark: int) -> Tensor:
        """What the head reads, ``[B, 2]`` float32, at the one place where each row has a token.

        Positions are those of a plain text, one after another, also within the image: so the weights were trained.
        """
        tokens = inputs["input_ids"]
        places = torch.arange(tokens.shape[1], device=tokens.device).expand(3, len(tokens), -1)
        hidden = self.network(**{**inputs, "position_ids": places}, use_cache=False).last_hidden_state
        found: Tensor = self.head(hidden[tokens == mark].float())
        return found


def build(found: Mapping[str, Tensor], base: Path, dtype: torch.dtype) -> PreferenceVL:
    """The network with weights under their published names.

    Args:
        base: folder of the configuration of the network that was trained on.

    Raises:
        WeightsError: they are another network's.
        OSError, ValueError, RuntimeError, KeyError, TypeError: transformers' own, of another configuration.
    """
    from transformers import Qwen2VLConfig, Qwen2VLModel

    renamed = {
        _renamed(name): value for name, value in found.items() if not HEAD.match(name) and not NOTHING.match(name)
    }
    words = renamed.get("language_model.embed_tokens.weight")
    if words is None:
        raise WeightsError("they are not of HPSv3 (no model.embed_tokens.weight)")
    config = Qwen2VLConfig.from_pretrained(base)
    config.text_config.vocab_size = len(words)  # a token was added
    network, told = Qwen2VLModel.from_pretrained(
        None, config=config, state_dict=renamed, dtype=dtype, output_loading_info=True
    )
    check_told(told, "the network", NOTHING)
    return PreferenceVL(network, _head(found))


def _renamed(name: str) -> str:
    """A tensor's name in transformers' Qwen2VLModel, from those of the releases that weights were saved with."""
    short = re.sub(r"^model\.(?=visual\.|language_model\.)", "", name)
    return re.sub(r"^model\.", "language_model.", short)


def _head(found: Mapping[str, Tensor]) -> nn.Sequential:
    """The head's three layers with ReLUs between them; dropouts are off."""
    places = sorted({int(match[1]) for name in found if (match := HEAD.match(name))})
    if tuple(places) != INNER:
        raise WeightsError(f"they are not of HPSv3 (the head has layers {places} in place of {list(INNER)})")
    weights = [found[f"rm_head.{place}.weight"] for place in INNER]
    with torch.device("meta"):
        layers = [nn.Linear(*weight.shape[::-1]) for weight in weights]
    head = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
    own = {
        f"{2 * k}.{part}": found[f"rm_head.{place}.{part}"].float()
        for k, place in enumerate(INNER)
        for part in ("weight", "bias")
    }
    tensors.fill(head, own, "the head")
    return head
