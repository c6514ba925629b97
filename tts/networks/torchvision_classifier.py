"""torchvision's classification networks, holding weights from a file as torchvision itself would hold them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tts.errors import SettingError
from tts.files import tensors

if TYPE_CHECKING:
    from torch import Tensor, nn

DEFAULT = "DEFAULT"
RENAMED = (
    (re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])\."), r"\1\2."),
    (re.compile(r"(encoder_layer_\d+\.mlp)\.linear_1\."), r"\1.0."),
    (re.compile(r"(encoder_layer_\d+\.mlp)\.linear_2\."), r"\1.3."),
)
"""Names of DenseNet's and ViT's layers in published files that are older than the networks' present form."""


def models() -> list[str]:
    """Names of all networks."""
    import torchvision

    names: list[str] = torchvision.models.list_models(module=torchvision.models)
    return names


def entries(model: str) -> dict[str, Any]:
    """Published weights of a network by name, ``DEFAULT`` among them; those without a classifier are left out."""
    from torchvision.models import get_model_weights

    published: Mapping[str, Any] = get_model_weights(model).__members__
    return {name: entry for name, entry in published.items() if entry.meta["categories"]}


def short(model: str, name: str) -> str:
    """The name of published weights without their class, with which torchvision's own programs write it.

    Raises:
        SettingError: it is another model's class.
    """
    from torchvision.models import get_model_weights

    own, (kind, _, rest) = get_model_weights(model).__name__, name.rpartition(".")
    if not kind.endswith("_Weights") or "/" in kind:
        return name
    if kind != own:
        raise SettingError(f"reward classifier: weights = {name}: of another model than {model}, whose are {own}")
    return rest


def digits(entry: Any) -> str:
    """First digits of the SHA-256 of a published file, which its name ends with; empty if it does not."""
    found = re.search(r"-([0-9a-f]{8,64})\.\w+$", entry.url)
    return found[1] if found else ""


def entry_of(model: str, sha256: str) -> Any:
    """The published weights that a file of this digest holds; ``DEFAULT`` for any other file."""
    known = entries(model)
    return next((entry for entry in known.values() if is_entry(entry, sha256)), known[DEFAULT])


def is_entry(entry: Any, sha256: str) -> bool:
    """Whether a file of this digest is the published one."""
    return bool(digits(entry)) and sha256.startswith(digits(entry))


def network(model: str, classes: int, entry: Any, weights: Mapping[str, Tensor]) -> nn.Module:
    """A network with weights, for images that the entry's own transforms prepared.

    Args:
        entry: published weights whose form and preprocessing these weights have; see :func:`entries`.
        weights: ``state_dict`` in the present or in the published form, which may lack what only training needs.

    Raises:
        WeightsError: they are another network's; the message names the first tensor that does not fit.
    """
    from accelerate import init_empty_weights
    from torch import nn
    from torchvision.models import get_model

    with init_empty_weights():  # nothing is drawn only to be replaced
        held: nn.Module = get_model(model, weights=None, num_classes=classes, **_arguments(model, entry))
    counters = {name: value for name, value in held.state_dict().items() if name.endswith(".num_batches_tracked")}
    renamed = {_renamed(name): tensor for name, tensor in weights.items()}
    # MNASNet refuses weights that do not say of which version of its form they are; its parts do not, and shapes tell
    whole = nn.ModuleDict(dict(held.named_children())) if model.startswith("mnasnet") else held
    tensors.fill(whole, counters | renamed, f"is not of a {model} with {classes} classes")
    return held


def _arguments(model: str, entry: Any) -> dict[str, Any]:
    """What a network is built with beside its name, where torchvision lets that follow from the weights."""
    if model in ("googlenet", "inception_v3"):
        # their weights want another normalisation than their transforms give, and they bring it about themselves
        return {"transform_input": True, "init_weights": False}
    return {"image_size": entry.meta["min_size"][0]} if model.startswith("vit_") else {}


def _renamed(name: str) -> str:
    for pattern, present in RENAMED:
        name = pattern.sub(present, name)
    return name
