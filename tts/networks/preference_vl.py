"""Qwen2-VL with a head on the hidden state of one token: the network of HPSv3."""

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
"""Indices of the head's layers in the authors' list: a ReLU and a dropout follow the first, a ReLU the second."""
NOTHING = re.compile(r"lm_head\.weight$")
"""A part of the saved network that generates words; the head does not use it."""


class PreferenceVL(nn.Module):
    """The network and its head; the head is in fp32."""

    def __init__(self, network: Any, head: nn.Sequential) -> None:
        super().__init__()
        self.network, self.head = network, head

    def head_at(self, inputs: Mapping[str, Tensor], mark: int) -> Tensor:
        """The head's output, ``[B, 2]`` float32, at the only position of the token ``mark`` in each row.

        Positions count up token by token, also within the image, as in training.
        """
        tokens = inputs["input_ids"]
        places = torch.arange(tokens.shape[1], device=tokens.device).expand(3, len(tokens), -1)
        hidden = self.network(**{**inputs, "position_ids": places}, use_cache=False).last_hidden_state
        found: Tensor = self.head(hidden[tokens == mark].float())
        return found


def build(found: Mapping[str, Tensor], base: Path, dtype: torch.dtype) -> PreferenceVL:
    """The network with weights under their published names.

    Args:
        base: folder with the configuration of the base network.

    Raises:
        WeightsError: the weights are for another network.
        OSError, ValueError, RuntimeError, KeyError, TypeError: raised by transformers for another configuration.
    """
    from transformers import Qwen2VLConfig, Qwen2VLModel

    renamed = {
        _renamed(name): value for name, value in found.items() if not HEAD.match(name) and not NOTHING.match(name)
    }
    words = renamed.get("language_model.embed_tokens.weight")
    if words is None:
        raise WeightsError("they are not HPSv3's (no model.embed_tokens.weight)")
    config = Qwen2VLConfig.from_pretrained(base)
    config.text_config.vocab_size = len(words)  # the head's token was added
    network, told = Qwen2VLModel.from_pretrained(
        None, config=config, state_dict=renamed, dtype=dtype, output_loading_info=True
    )
    check_told(told, "the network", NOTHING)
    return PreferenceVL(network, _head(found))


def _renamed(name: str) -> str:
    """A tensor's name in the installed Qwen2VLModel, from its name in the releases that saved the weights."""
    short = re.sub(r"^model\.(?=visual\.|language_model\.)", "", name)
    return re.sub(r"^model\.", "language_model.", short)


def _head(found: Mapping[str, Tensor]) -> nn.Sequential:
    """The head's three layers with ReLUs between them; dropouts are off."""
    places = sorted({int(match[1]) for name in found if (match := HEAD.match(name))})
    if tuple(places) != INNER:
        raise WeightsError(f"they are not HPSv3's (the head has layers {places} in place of {list(INNER)})")
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
