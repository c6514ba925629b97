"""Noise recipes: a few numbers that always give the same tensor of noise.

A :class:`Noise` is a seed and moves from it (:mod:`tts.moves`). Its tensor is a pure function of recipe and shape, and
is the same in any batch, process and year.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from typing import Any, Literal, NamedTuple, TypeAlias

from tts.moves import AnyMove, Band, Box, Mixture, Move, Turn, seed_of
from tts.moves import from_record as move_from_record
from tts.normals import Array, derive_seed, direction, normal

__all__ = [
    "DEVICE_VERSION",
    "KEEP_BYTES",
    "VERSION",
    "AnyMove",
    "Array",
    "Band",
    "Box",
    "Mixture",
    "Move",
    "Noise",
    "NoiseBank",
    "NoiseRecipe",
    "Turn",
    "derive_seed",
    "direction",
    "from_record",
    "normal",
    "to_record",
]

VERSION = 1
"""Part of every trial's identity; changes whenever a recipe would give another tensor."""

DEVICE_VERSION = 1
"""The same for noises made on the device (:mod:`tts.device_noise`)."""

NoiseRecipe: TypeAlias = Literal["host", "device"]
"""The functions that turn a seed into a tensor: :mod:`tts.normals` on the host, or :mod:`tts.device_noise` on the
device."""

KEEP_BYTES = 256 << 20
"""Most bytes of noises that a bank keeps."""


class Noise(NamedTuple):
    """A recipe: the normal noise of ``seed``, then each move in turn. Seeds are integers in [0, 2**63)."""

    seed: int
    moves: tuple[AnyMove, ...] = ()

    def moved(self, seed: int, radius: float) -> Noise:
        """This noise, moved once more."""
        return Noise(self.seed, (*self.moves, Move(seed, radius)))

    def with_move(self, move: AnyMove) -> Noise:
        """This noise, moved once more, by a move of any kind."""
        return Noise(self.seed, (*self.moves, move))


class NoiseBank:
    """A cache of tensors of noises of one shape.

    A search moves a pivot again and again. As the pivot is kept, a candidate costs one direction, however many moves
    led to the pivot. The cache never changes a value, as moves are always applied in order from the seed. Several
    threads may use the bank at once.

    Attributes:
        keep: number of tensors that are kept.
    """

    def __init__(self, shape: tuple[int, ...], keep_bytes: int = KEEP_BYTES) -> None:
        self.shape = shape
        self.keep = max(1, keep_bytes // (4 * math.prod(shape)))
        self._recent: OrderedDict[Noise, Array] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, noise: Noise) -> Array:
        """The noise's tensor, float32 of the bank's shape; do not write to it."""
        with self._lock:
            value = self._recent.get(noise)
            if value is not None:
                self._recent.move_to_end(noise)
                return value
        value = self._make(noise)
        with self._lock:
            self._recent[noise] = value
            if len(self._recent) > self.keep:
                self._recent.popitem(last=False)
        return value

    def __contains__(self, noise: Noise) -> bool:
        """Whether a noise's tensor is kept."""
        return noise in self._recent

    def _make(self, noise: Noise) -> Array:
        if not noise.moves:
            return normal(noise.seed, self.shape)
        kept = len(noise.moves) - 1  # moves of the longest beginning that is at hand
        while kept > 0 and Noise(noise.seed, noise.moves[:kept]) not in self._recent:
            kept -= 1
        value = self(Noise(noise.seed, noise.moves[:kept]))
        for move in noise.moves[kept:]:
            value = move.applied(value)
        return value


def to_record(noise: Noise | None) -> dict[str, Any] | None:
    """A recipe as plain values, for a Parquet row."""
    if noise is None:
        return None
    return {"seed": noise.seed, "moves": [move.record() for move in noise.moves]}


def from_record(record: dict[str, Any] | None) -> Noise | None:
    """The recipe of :func:`to_record`; raises what :func:`tts.moves.from_record` does."""
    if record is None:
        return None
    return Noise(seed_of(record["seed"]), tuple(move_from_record(move) for move in record["moves"]))
