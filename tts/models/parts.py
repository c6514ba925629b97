"""Load parts of pipelines, each with exactly the weights that it needs.

Where a file lacks weights, diffusers and transformers draw random ones; unknown weights they ignore. Both only warn of
it, so this module checks it.
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
"""Libraries of the classes that a checkpoint may name."""
OTHERS = {
    "transformers": re.compile(r"(vision_model|visual_projection|text_projection|decoder|lm_head)\.|logit_scale$"),
    "diffusers": re.compile(r"pos_embed\.pos_embed$"),
}
"""Tensors of a file that may be left unused: the other half of a whole network, and tables that code computes."""


def load_part(folder: Path, named: Sequence[Any], variant: str | None, dtype: torch.dtype) -> nn.Module:
    """A part with its weights, in host memory.

    Args:
        folder: folder of the part, with its configuration and its weights.
        named: library and class, as the checkpoint names them.
        variant: infix of the names of the weight files.
        dtype: precision of the weights.

    Raises:
        WeightsError: the weights lack a tensor, or have one that the part does not take.
        OSError, ValueError, RuntimeError, KeyError, TypeError: the library's own errors, for missing or damaged files.
    """
    found, told = class_of(named).from_pretrained(
        folder, dtype=dtype, variant=variant, use_safetensors=True, local_files_only=True, output_loading_info=True
    )
    check_told(told, f"its {folder.name}", OTHERS[named[0]])
    module: nn.Module = found
    return module


def hollow_part(folder: Path, named: Sequence[Any], dtype: torch.dtype) -> nn.Module | None:
    """A part's network without weights, for its configuration, dtype and class; None if it cannot be made so.

    Args:
        folder: folder of the part, with its configuration.
        named: library and class, as the checkpoint names them.
        dtype: precision that the network states.
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
    """The class of a network, from one of :data:`LIBRARIES`.

    Raises:
        WeightsError: the library has no class of this name.
    """
    import diffusers
    import transformers

    with quiet():  # the libraries import what a class needs when it is first named
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
    """The class of a pipeline, from diffusers.

    Raises:
        WeightsError: the installed release has no class of this name.
    """
    import diffusers

    with quiet():
        kind = getattr(diffusers, name, None)
        if not (isinstance(kind, type) and issubclass(kind, diffusers.DiffusionPipeline)):
            raise WeightsError(f"holds a {name}, which is no pipeline of diffusers {diffusers.__version__}")
        return kind


def check_told(told: dict[str, Collection[str]], what: str, others: re.Pattern[str]) -> None:
    """Refuse a network whose file lacked tensors or held unknown ones.

    Args:
        told: ``missing_keys`` and ``unexpected_keys``, as the libraries report them after loading.
        what: the network, for the message.
        others: names of tensors that may be left unused.

    Raises:
        WeightsError: there are such tensors; the message names the first.
    """
    if missing := sorted(told["missing_keys"]):
        raise WeightsError(f"{what} has no weights for {counted(missing)}")
    left = sorted(name for name in told["unexpected_keys"] if not others.match(name))
    if left:
        raise WeightsError(f"{what} takes no {counted(left)}, which its weights have: they are of another network")


def check_filled(module: nn.Module, what: str) -> None:
    """Refuse a network in which a parameter has no value; diffusers only warns of it.

    Raises:
        WeightsError: there is one; the message names it.
    """
    if empty := [name for name, value in module.state_dict().items() if value.is_meta]:
        raise WeightsError(f"{what} has no weights for {counted(empty)}")


def tensors_of(named: Sequence[Any], config: Mapping[str, Any]) -> int:
    """Number of tensors of a diffusers network with some configuration; nothing is allocated."""
    import torch

    with torch.device("meta"):
        return len(class_of(named).from_config(dict(config)).state_dict())


def counted(names: Sequence[str]) -> str:
    """The first of some names and their number, in words."""
    return f"'{names[0]}'" + (f" and {len(names) - 1} more" if len(names) > 1 else "")
