"""Numbers that EDM's networks keep beside their weights, and that are constants here. No torch.

Constructors of a changed program can set them to others while arguments and weights stay of the same form.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tts.errors import WeightsError
from tts.files.edm_pickle import Module
from tts.networks.adm_weights import HEAD, Arrays, groups

Wanted = Mapping[str, Callable[[Module], tuple[Any, ...]]]
"""By attribute, the values that a module may have."""

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
"""Of the published networks, by architecture and class."""


def check(architecture: str, modules: Iterable[Module], tensors: Arrays) -> None:
    """Refuse a network whose constants are others than those that are computed with.

    Args:
        modules: all parts of the network, as the file has them.
        tensors: its weights.

    Raises:
        WeightsError: one has another, or is of a class that no published network has; the message names it.
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
                raise WeightsError(f"its '{module.name}' has {name} = {found:g}, and only {shown} can be computed here")


def check_preconditioning(numbers: Mapping[str, float], classes: int, levels: tuple[float, float]) -> None:
    """Refuse a preconditioning that is made for other noise levels, or for other labels.

    Args:
        numbers: what it keeps.
        classes: of the network.
        levels: the sampler's last one above 0, and its first.

    Raises:
        WeightsError: it is one.
    """
    low, high = (float(numbers.get(f"sigma_{end}", limit)) for end, limit in (("min", 0.0), ("max", math.inf)))
    if low > levels[0] or high < levels[1]:
        raise WeightsError(
            f"its network is made for noise levels from {low:g} to {high:g}, and the sampler's are {levels[0]:g} to "
            f"{levels[1]:g}; set sampler.sigma_min and sampler.sigma_max"
        )
    if (labels := numbers.get("label_dim", classes)) != classes:
        raise WeightsError(f"its preconditioning has label_dim = {labels}, and its network {classes}")
