"""Numbers that EDM's files store beside their weights, and that this package treats as constants. No torch.

A changed program can give them other values while arguments and weights keep their form, so they are checked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tts.errors import WeightsError
from tts.files.edm_pickle import Module
from tts.networks.adm_weights import HEAD, Arrays, groups

Wanted = Mapping[str, Callable[[Module], tuple[Any, ...]]]
"""The values that a module may have, by attribute."""

CLASSES = {
    *("Conv2d", "DhariwalUNet", "EDMPrecond", "FourierEmbedding", "GroupNorm", "Linear", "ModuleDict"),
    *("PositionalEmbedding", "SongUNet", "UNetBlock"),
    *("Block", "MPConv", "MPFourier", "UNet"),
}


def _always(*values: Any) -> Callable[[Module], tuple[Any, ...]]:
    return lambda _: values


def _norm(eps: float) -> Wanted:
    return {"eps": _always(eps), "num_groups": lambda norm: (groups(norm.width),)}


CONSTANTS: dict[str, dict[str, Wanted]] = {
    "DhariwalUNet": {
        "UNetBlock": {
            "skip_scale": _always(1),
            "adaptive_scale": _always(True),
            "num_heads": lambda block: tuple({0, int(block.numbers.get("out_channels", 0)) // HEAD}),
        },
        "GroupNorm": _norm(1e-5),
        "PositionalEmbedding": {"max_positions": _always(10000), "endpoint": _always(False)},
    },
    "SongUNet": {
        "UNetBlock": {
            "skip_scale": _always(math.sqrt(0.5)),
            "adaptive_scale": _always(False),
            "num_heads": _always(0, 1),
        },
        "GroupNorm": _norm(1e-6),
        "PositionalEmbedding": {"max_positions": _always(10000), "endpoint": _always(True)},
    },
    "UNet": {},
}
"""Constants of the published networks, by architecture and class."""


def check(architecture: str, modules: Iterable[Module], tensors: Arrays) -> None:
    """Refuse a network whose constants differ from those that this package computes with.

    Args:
        modules: all parts of the network in the file.
        tensors: its weights.

    Raises:
        WeightsError: a module has another constant or an unknown class; the message names it.
    """
    constants = CONSTANTS.get(architecture)
    if constants is None:
        raise WeightsError(f"its network is a {architecture}; {', '.join(CONSTANTS)} can be read")
    for name, tensor in tensors.items():
        if tensor.dtype.kind != "f":
            raise WeightsError(f"its '{name}' is {tensor.dtype}: quantised weights are not read")
    for module in modules:
        if module.class_name not in CLASSES:
            raise WeightsError(f"its '{module.name}' is a {module.class_name}, which no published network has")
        for name, values in constants.get(module.class_name, {}).items():
            found, wanted = module.numbers.get(name), values(module)
            if found is not None and not any(math.isclose(found, value) for value in wanted):
                shown = " or ".join(f"{value:g}" for value in wanted)
                raise WeightsError(f"its '{module.name}' has {name} = {found:g}, and only {shown} is supported")


def check_preconditioning(numbers: Mapping[str, float], classes: int, levels: tuple[float, float]) -> None:
    """Refuse a preconditioning for other noise levels or other labels.

    Args:
        numbers: the numbers that it stores.
        classes: the network's classes.
        levels: the sampler's last noise level above 0, and its first.

    Raises:
        WeightsError: the levels or the labels differ.
    """
    low, high = (float(numbers.get(f"sigma_{end}", limit)) for end, limit in (("min", 0.0), ("max", math.inf)))
    if low > levels[0] or high < levels[1]:
        raise WeightsError(
            f"its network is made for noise levels from {low:g} to {high:g}, but the sampler's are {levels[0]:g} to "
            f"{levels[1]:g}; set sampler.sigma_min and sampler.sigma_max"
        )
    if (labels := numbers.get("label_dim", classes)) != classes:
        raise WeightsError(f"its preconditioning has label_dim = {labels}, but its network {classes}")
