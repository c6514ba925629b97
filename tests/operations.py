"""Count the operations that torch is asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode


class Counting(TorchDispatchMode):
    """Counts torch's operations.

    Args:
        but_for: names of operations that are not counted.
    """

    def __init__(self, but_for: Collection[str] = ()) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()
        self.but_for = but_for

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.counts[str(function)] += str(function) not in self.but_for
        return function(*args, **(kwargs or {}))
