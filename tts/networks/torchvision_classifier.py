"""torchvision's classification networks with weights from a file."""

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
"""Names of DenseNet's and ViT's layers in published files of older versions of the networks."""


def models() -> list[str]:
    """Names of all networks."""
    import torchvision

    names: list[str] = torchvision.models.list_models(module=torchvision.models)
    return names


def entries(model: str) -> dict[str, Any]:
    """Published weights of a network by name, with ``DEFAULT``; weights without a classifier are left out."""
    from torchvision.models import get_model_weights

    published: Mapping[str, Any] = get_model_weights(model).__members__
    return {name: entry for name, entry in published.items() if entry.meta["categories"]}


def short(model: str, name: str) -> str:
    """The name of published weights without the name of their class, which torchvision's programs include.

    Raises:
        SettingError: the class is another model's.
    """
    from torchvision.models import get_model_weights

    own, (kind, _, rest) = get_model_weights(model).__name__, name.rpartition(".")
    if not kind.endswith("_Weights") or "/" in kind:
        return name
    if kind != own:
        raise SettingError(f"reward classifier: weights = {name}: for another model; those of {model} are {own}")
    return rest


def digits(entry: Any) -> str:
    """First digits of the SHA-256 of a published file, from the end of its name; empty if it has none."""
    found = re.search(r"-([0-9a-f]{8,64})\.\w+$", entry.url)
    return found[1] if found else ""


def entry_of(model: str, sha256: str) -> Any:
    """The published weights with this digest; ``DEFAULT`` for any other file."""
    known = entries(model)
    return next((entry for entry in known.values() if is_entry(entry, sha256)), known[DEFAULT])


def is_entry(entry: Any, sha256: str) -> bool:
    """Whether a file of this digest is the published one."""
    return bool(digits(entry)) and sha256.startswith(digits(entry))


def network(model: str, classes: int, entry: Any, weights: Mapping[str, Tensor]) -> nn.Module:
    """A network with weights, for images prepared by the entry's transforms.

    Args:
        entry: published weights (:func:`entries`) of the same form and preprocessing.
        weights: ``state_dict`` in the present or the published form; entries used only in training may be missing.

    Raises:
        WeightsError: they are for another network; the message names the first tensor that does not fit.
    """
    from accelerate import init_empty_weights
    from torch import nn
    from torchvision.models import get_model

    with init_empty_weights():  # no random weights that would be replaced at once
        held: nn.Module = get_model(model, weights=None, num_classes=classes, **_arguments(model, entry))
    counters = {name: value for name, value in held.state_dict().items() if name.endswith(".num_batches_tracked")}
    renamed = {_renamed(name): tensor for name, tensor in weights.items()}
    # MNASNet refuses weights without a version; its parts load them, and shapes are checked
    whole = nn.ModuleDict(dict(held.named_children())) if model.startswith("mnasnet") else held
    tensors.fill(whole, counters | renamed, f"is not of a {model} with {classes} classes")
    return held


def _arguments(model: str, entry: Any) -> dict[str, Any]:
    """Arguments of a network that torchvision derives from the weights."""
    if model in ("googlenet", "inception_v3"):
        # these networks change the transforms' normalisation to the one of their weights themselves
        return {"transform_input": True, "init_weights": False}
    return {"image_size": entry.meta["min_size"][0]} if model.startswith("vit_") else {}


def _renamed(name: str) -> str:
    for pattern, present in RENAMED:
        name = pattern.sub(present, name)
    return name
