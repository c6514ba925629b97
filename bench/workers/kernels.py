"""A loaded model's network with the kernels that a configuration asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.study.config import Engines
from bench.workers.unasked import Unasked
from tts.errors import EngineError
from tts.models.wrapped import Wrapped
from tts.plan import Condition

if TYPE_CHECKING:
    from torch import Tensor

    from tts.models.base import Model


def with_kernels(model: Model, engines: Engines) -> Model:
    """A model whose network has its weights in the layout, its attention by the backend, and is compiled, as asked.

    With ``skip_network`` it is never asked.

    A model needs a ``module`` only if a setting asks for something of it.

    Raises:
        TTSError: the network has no such attention, or the model has no ``module`` and a setting needs it.
    """
    import torch

    from tts.networks.attention import dispatch

    if engines.skip_network:
        return Unasked(model)
    asked = _asked(engines)
    if not asked:
        return model
    if not hasattr(model, "module"):
        raise EngineError(
            f"engines.{asked[0]} changes a network, and the loaded model {type(model).__name__} has no 'module'; "
            "give it one, the torch network that it runs, or leave the setting out"
        )
    dispatch(model.module, engines.attention)
    if engines.channels_last is not None:
        layout = torch.channels_last if engines.channels_last else torch.contiguous_format
        model.module.to(memory_format=layout)
    if not engines.compile:
        return model
    mode = None if engines.compile is True else engines.compile
    model.module.compile(dynamic=False, mode=mode)
    return Replayed(model) if mode else model


def _asked(engines: Engines) -> list[str]:
    """The settings that change the network itself."""
    from tts.networks.attention import DISPATCHED

    changes = {
        "attention": engines.attention.startswith(DISPATCHED),
        "channels_last": engines.channels_last is not None,
        "compile": bool(engines.compile),
    }
    return [name for name, asks in changes.items() if asks]


class Replayed(Wrapped):
    """A model whose compiled network may answer from a CUDA graph's memory, which its next answer takes again."""

    def denoise(self, x: Tensor, levels: Tensor, conditions: Sequence[Condition]) -> Tensor:
        """Predicted clean states, ``[B, *shape]`` float32, in memory of their own."""
        import torch

        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        return self.model.denoise(x, levels, conditions).clone()
