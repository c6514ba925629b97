"""Attention by the name of what computes it: torch's own kernels, or a backend of diffusers' dispatcher."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tts.errors import EngineError, SettingError, first_line
from tts.quiet import quiet

if TYPE_CHECKING:
    from torch import nn

AUTO = "auto"
TORCHS = {"math": "math", "flash": "flash", "efficient": "mem_efficient", "cudnn": "cudnn"}
"""torch's kernels by our names, with torch's own."""

DISPATCHED = "diffusers:"
"""What a name begins with that diffusers' dispatcher knows, as ``diffusers:sage``."""


FETCHED = "_hub"
"""How names end of backends whose code is fetched."""


def check_name(name: str) -> str:
    """A name that may be right; which backends diffusers has is seen when a network is loaded.

    Raises:
        ValueError: it cannot be, or is of a backend whose code would be fetched from the hub.
    """
    backend = name.removeprefix(DISPATCHED)
    if backend.lower().endswith(FETCHED):
        raise ValueError(f"'{name}' would run code that is fetched from the hub; install the library and name that")
    dispatched = name.startswith(DISPATCHED) and backend.isidentifier()
    if not dispatched and name not in (AUTO, *TORCHS):
        raise ValueError(f"expected {AUTO}, {', '.join(TORCHS)}, or {DISPATCHED}NAME")
    return name


def set_attention(name: str) -> None:
    """Let torch compute attention by one kernel in this process; with :data:`AUTO` or another library's by any."""
    import torch

    for ours, theirs in TORCHS.items():
        getattr(torch.backends.cuda, f"enable_{theirs}_sdp")(name == ours or name not in TORCHS)


def dispatch(network: nn.Module, name: str) -> None:
    """Let a network of diffusers compute attention by a backend, if one of its dispatcher's is named.

    Raises:
        SettingError: it has no such backend, or one that cannot be used here.
        EngineError: the network's attention is not dispatched.
    """
    if not name.startswith(DISPATCHED):
        return
    backend, found = name.removeprefix(DISPATCHED), getattr(network, "set_attention_backend", None)
    if found is None or not any(_dispatched(module) for module in network.modules()):
        raise EngineError(
            f"engines.attention: {type(network).__name__} leaves attention to torch and not to diffusers' dispatcher; "
            f"choose one of {', '.join((AUTO, *TORCHS))}"
        )
    try:
        with quiet():
            found(backend)
    except (ValueError, RuntimeError, ImportError) as error:
        raise SettingError(f"engines.attention = {name}: {first_line(error)}") from None


def _dispatched(module: Any) -> bool:
    return hasattr(getattr(module, "processor", None), "_attention_backend")
