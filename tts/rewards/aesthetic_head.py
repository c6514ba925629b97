"""Heads of the aesthetic predictor: linear layers, with or without ReLU between them."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from tts.errors import SettingError, WeightsError
from tts.files import tensors
from tts.files.digests import sha256

if TYPE_CHECKING:
    from torch import Tensor, nn

Activation: TypeAlias = Literal["linear", "relu"]

PUBLISHED_SHA256 = "21dd590f3ccdc646f0d53120778b296013b096a035a2718c9cb0d511bff0f1e0"
KNOWN: dict[str, Activation] = {
    PUBLISHED_SHA256: "linear",  # sac+logos+ava1-l14-linearMSE.pth
    "390a3aafaf3b37d57148f9b22f30556de38343064b7d915acfa80d3812b4c9ff": "linear",  # ava+logos-l14-linearMSE.pth
    "0af3254c651d55b7ea851429c20f26ec880bb0169805a4df85b814bd7966f3e4": "relu",  # ava+logos-l14-reluMSE.pth
}
"""Activation between the layers of the published heads of several layers, by the file's digest."""


def activation_of(path: Path, name: str, given: Activation | None) -> Activation:
    """The activation between a head's layers.

    Args:
        path: the head's file.
        name: the file as the configuration names it, for messages.
        given: the setting; None: not set.

    Raises:
        SettingError: the setting is missing, and the file's digest is unknown.
        WeightsError: the file is not a head.
    """
    if given is not None or len(_layers(path, name)) == 1:
        return given or "linear"
    known = KNOWN.get(sha256(path, "head"))
    if known is None:
        raise SettingError(
            f"head {name}: the file does not say which activation it uses, and is not a published one; set "
            "activation to linear or relu"
        )
    return known


def read(path: Path, name: str, activation: Activation, prefix: str = "layers") -> nn.Sequential:
    """Read a head, ``[B, D]`` to ``[B, 1]``; dropouts between its layers are off.

    Args:
        path: the head's file.
        name: the file as the configuration names it, for messages.
        activation: what is between the layers.
        prefix: how the names of its layers begin.

    Raises:
        WeightsError: the file holds anything but linear layers that follow one another.
    """
    import torch
    from torch import nn

    weights = _layers(path, name, prefix)
    with torch.device("meta"):
        layers = [nn.Linear(*weight.shape[::-1]) for weight in weights.values()]
    if layers[-1].out_features != 1 or any(a.out_features != b.in_features for a, b in pairwise(layers)):
        raise WeightsError(f"head {name}: its layers do not form a chain that ends in one value")
    own = {place: f"{k}." for k, place in enumerate(weights)}
    found = tensors.read(path, "head")
    tensors.refuse_whole(found, f"head {name}")
    renamed = {_renamed(key, own): tensor.float() for key, tensor in found.items()}
    tensors.fill(nn.Sequential(*layers), renamed, f"head {name}")
    between = [nn.ReLU()] * (activation == "relu")
    parts = [part for layer in layers for part in (layer, *between)]
    return nn.Sequential(*parts[: len(parts) - len(between)]).eval().requires_grad_(False)


def _layers(path: Path, name: str, prefix: str = "layers") -> dict[str, Tensor]:
    """Weights of the layers by the part of their name before ``weight``, in the order of their numbers.

    Published heads have ``layers.0.weight``, ...; a head of one layer has ``weight``.
    """
    found = tensors.read(path, "head")
    numbers = sorted(int(match[1]) for key in found if (match := re.match(rf"{prefix}\.(\d+)\.weight$", key)))
    places = [f"{prefix}.{number}." for number in numbers] or [""] * ("weight" in found)
    if not places or any(found[f"{place}weight"].ndim != 2 for place in places):
        raise WeightsError(f"head {name}: has no linear layers '{prefix}.0.weight', ...")
    return {place: found[f"{place}weight"] for place in places}


def _renamed(key: str, own: dict[str, str]) -> str:
    if "" in own:
        return own[""] + key
    return next((ours + key.removeprefix(theirs) for theirs, ours in own.items() if key.startswith(theirs)), key)
