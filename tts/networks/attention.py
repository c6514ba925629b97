"""Choose the kernel of attention by name: one of torch's, or a backend of diffusers' dispatcher."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tts.errors import EngineError, SettingError, first_line
from tts.quiet import quiet

if TYPE_CHECKING:
    from torch import nn

AUTO = "auto"
TORCHS = {"math": "math", "flash": "flash", "efficient": "mem_efficient", "cudnn": "cudnn"}
"""torch's names of its kernels, by the names in ``engines.attention``."""

DISPATCHED = "diffusers:"
"""Prefix of backends of diffusers' dispatcher, as in ``diffusers:sage``."""


FETCHED = "_hub"
"""Suffix of backends whose code is downloaded."""


def check_name(name: str) -> str:
    """Check the form of a name; whether diffusers has the backend is checked when a network is loaded.

    Raises:
        ValueError: the name has no valid form, or its backend would download code from the hub.
    """
    backend = name.removeprefix(DISPATCHED)
    if backend.lower().endswith(FETCHED):
        raise ValueError(f"'{name}' would run code downloaded from the hub; install the library and name its backend")
    dispatched = name.startswith(DISPATCHED) and backend.isidentifier()
    if not dispatched and name not in (AUTO, *TORCHS):
        raise ValueError(f"expected {AUTO}, {', '.join(TORCHS)}, or {DISPATCHED}NAME")
    return name


def set_attention(name: str) -> None:
    """Restrict torch to one attention kernel in this process; :data:`AUTO` and other libraries' names allow all."""
    import torch

    for ours, theirs in TORCHS.items():
        getattr(torch.backends.cuda, f"enable_{theirs}_sdp")(name == ours or name not in TORCHS)


def dispatch(network: nn.Module, name: str) -> None:
    """Set the attention backend of a diffusers network, if the name is one of the dispatcher's.

    Raises:
        SettingError: diffusers has no such backend, or it cannot run on this machine.
        EngineError: the network does not use the dispatcher.
    """
    if not name.startswith(DISPATCHED):
        return
    backend, found = name.removeprefix(DISPATCHED), getattr(network, "set_attention_backend", None)
    if found is None or not any(_dispatched(module) for module in network.modules()):
        raise EngineError(
            f"engines.attention: {type(network).__name__} computes attention by torch, not by diffusers' dispatcher; "
            f"choose one of {', '.join((AUTO, *TORCHS))}"
        )
    try:
        with quiet():
            found(backend)
    except (ValueError, RuntimeError, ImportError) as error:
        raise SettingError(f"engines.attention = {name}: {first_line(error)}") from None


def _dispatched(module: Any) -> bool:
    return hasattr(getattr(module, "processor", None), "_attention_backend")
