"""Parts of pipelines, each with all of the weights that it needs and no others.

diffusers and transformers draw what a file lacks, leave aside what they do not know, and say so in a warning only.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tts.errors import WeightsError
from tts.quiet import quiet

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline
    from torch import nn

LIBRARIES = ("diffusers", "transformers")
"""Libraries whose classes a checkpoint may name."""
OTHERS = {
    "transformers": re.compile(r"(vision_model|visual_projection|text_projection|decoder|lm_head)\.|logit_scale$"),
    "diffusers": re.compile(r"pos_embed\.pos_embed$"),
}
"""Tensors that may be left aside: the other half of a whole network, and tables that are computed."""


def load_part(folder: Path, named: Sequence[Any], variant: str | None, dtype: torch.dtype) -> nn.Module:
    """A part with its weights.

    Args:
        folder: of the part, with its configuration and its weights.
        named: library and class, as the checkpoint names them.
        variant: infix of the weight files.

    Raises:
        WeightsError: the weights lack a tensor, or have one that the part does not take.
        OSError, ValueError, RuntimeError, KeyError, TypeError: the library's own, of files that are missing or damaged.
    """
    found, told = class_of(named).from_pretrained(
        folder, dtype=dtype, variant=variant, use_safetensors=True, local_files_only=True, output_loading_info=True
    )
    check_told(told, f"its {folder.name}", OTHERS[named[0]])
    module: nn.Module = found
    return module


def hollow_part(folder: Path, named: Sequence[Any], dtype: torch.dtype) -> nn.Module | None:
    """A part's network without weights, for its configuration, type and class; None: it cannot be had so.

    Args:
        folder: of the part, with its configuration.
        named: library and class, as the checkpoint names them.
    """
    import torch

    kind = class_of(named)
    try:
        with quiet(), torch.device("meta"):
            if named[0] == "diffusers":
                found = kind.from_config(kind.load_config(folder, local_files_only=True))
            else:
                found = kind(kind.config_class.from_pretrained(folder, local_files_only=True))
        module: nn.Module = found.to(dtype).eval().requires_grad_(False)
    except (RuntimeError, NotImplementedError, ValueError, TypeError, AttributeError, KeyError):
        return None
    return module


def class_of(named: Sequence[Any]) -> Any:
    """A network's class of one of the two libraries.

    Raises:
        WeightsError: there is none of this name.
    """
    import diffusers
    import transformers

    with quiet():  # the libraries import a class's own needs when it is asked for
        bases = {
            "diffusers": (diffusers, diffusers.ModelMixin),
            "transformers": (transformers, transformers.PreTrainedModel),
        }
        library, base = bases.get(str(named[0]), (None, object))
        kind = getattr(library, str(named[-1]), None)
    if not (isinstance(kind, type) and issubclass(kind, base)):
        raise WeightsError(f"{'.'.join(map(str, named))} is no network of {' or '.join(LIBRARIES)}")
    return kind


def pipeline_of(name: str) -> type[DiffusionPipeline]:
    """A pipeline's class of diffusers.

    Raises:
        WeightsError: the installed release has none of this name.
    """
    import diffusers

    with quiet():
        kind = getattr(diffusers, name, None)
        if not (isinstance(kind, type) and issubclass(kind, diffusers.DiffusionPipeline)):
            raise WeightsError(f"holds a {name}, which is no pipeline of diffusers {diffusers.__version__}")
        return kind


def check_told(told: dict[str, Collection[str]], what: str, others: re.Pattern[str]) -> None:
    """Refuse a network that a library has not filled, or whose file holds more.

    Args:
        told: ``missing_keys`` and ``unexpected_keys``, as the libraries tell them of what they have loaded.
        what: the network, for the message.
        others: tensors that may be left aside.

    Raises:
        WeightsError: it names the first tensor.
    """
    if missing := sorted(told["missing_keys"]):
        raise WeightsError(f"{what} has no weights for {counted(missing)}")
    left = sorted(name for name in told["unexpected_keys"] if not others.match(name))
    if left:
        raise WeightsError(f"{what} takes no {counted(left)}, which its weights have: they are of another network")


def check_filled(module: nn.Module, what: str) -> None:
    """Refuse a network that diffusers has not filled, which it only warns of.

    Raises:
        WeightsError: it names a parameter without a value.
    """
    if empty := [name for name, value in module.state_dict().items() if value.is_meta]:
        raise WeightsError(f"{what} has no weights for {counted(empty)}")


def tensors_of(named: Sequence[Any], config: Mapping[str, Any]) -> int:
    """How many tensors a network of diffusers has that is built of a configuration; nothing is allocated."""
    import torch

    with torch.device("meta"):
        return len(class_of(named).from_config(dict(config)).state_dict())


def counted(names: Sequence[str]) -> str:
    """The first of some names, and how many there are."""
    return f"'{names[0]}'" + (f" and {len(names) - 1} more" if len(names) > 1 else "")
