"""Count FLOPs without torch's compiler, whose import would delay each engine's start by seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


class FlopCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts matrix products, convolutions and attention, by the formulas of torch's ``FlopCounterMode``.

    A multiply-add counts two; element-wise operations are not counted. Use it with ``torch.no_grad()``, not in
    inference mode: there, composite operations would arrive whole and not as the products that they consist of.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total: int = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """False: to hide the method below from its compiler, torch would import the compiler."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Compute an operation and count it."""
        given = kwargs or {}
        formula = flop_registry.get(func._overloadpacket)
        found = func(*args, **given)
        if formula is not None:
            self.total += formula(*args, **given, out_val=found)
        return found
