"""The identities of the trials that a run holds, a million of them in 32 MB."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

DIGITS = 32


class CompletedTrials:
    """A set of identities.

    Args:
        keys: 32 hex digits each; one that comes twice counts once.
        by_search: how many of them belong to each (search, settings); needed for a run's whole study only.
    """

    def __init__(
        self, keys: Iterable[str] | NDArray[np.bytes_] = (), by_search: Counter[tuple[str, str]] | None = None
    ):
        found = keys if isinstance(keys, np.ndarray) else np.array(list(keys), dtype=f"S{DIGITS}")
        self._keys = np.unique(found)
        self.by_search = by_search or Counter()

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return (key.decode() for key in self._keys.tolist())

    def holds(self, keys: Sequence[str]) -> list[bool]:
        """For each identity, whether it is in the set."""
        if not len(self._keys):
            return [False] * len(keys)
        asked = np.array(keys, dtype=f"S{DIGITS}")
        places = np.searchsorted(self._keys, asked).clip(max=len(self._keys) - 1)
        found: list[bool] = (self._keys[places] == asked).tolist()
        return found
