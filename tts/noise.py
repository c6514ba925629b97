r"""Noise recipes: a few numbers that name a tensor of noise, for ever.

A :class:`Noise` is a seed and moves around it. Its tensor is a pure function of recipe and shape: the same in any
batch, process and year. The bits come from Philox4x64-10 (Salmon et al. 2011, "Parallel random numbers: as easy as
1, 2, 3"), keyed by the seed, its blocks counted from 1; two uniforms ``u, v`` give two normals by Box and Muller,

.. math:: \sqrt{-2\ln u}\,\cos 2\pi v, \qquad \sqrt{-2\ln u}\,\sin 2\pi v,

computed in float64 and rounded to float32, which hides the last-bit differences between libraries.
"""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

VERSION = 1
"""Part of every trial's identity; changes whenever a recipe would give another tensor."""

Array: TypeAlias = NDArray[np.float32]


class Move(NamedTuple):
    """A step from one noise to a near one: a random unit vector scaled to ``radius`` times sqrt(dimension).

    A normal noise of dimension d has a length of about sqrt(d), so that a radius of 0.15 moves it by 15 % of that.
    """

    seed: int
    radius: float


class Noise(NamedTuple):
    """A recipe: the normal noise of ``seed``, then each move in turn. Seeds are integers in [0, 2**63)."""

    seed: int
    moves: tuple[Move, ...] = ()

    def moved(self, seed: int, radius: float) -> Noise:
        """This noise, moved once more."""
        return Noise(self.seed, (*self.moves, Move(seed, radius)))


def derive_seed(*parts: int | str) -> int:
    """A seed in [0, 2**63) from integers and words, the same in every process (BLAKE2b of their text)."""
    text = "\x1f".join([f"{type(part).__name__}:{part}" for part in parts])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def normal(seed: int, shape: tuple[int, ...]) -> Array:
    """Independent standard normals of a shape, float32."""
    size = math.prod(shape)
    pairs = -(-size // 2)
    bits = np.random.Philox(key=seed, counter=0).random_raw(2 * pairs)
    uniform = ((bits >> np.uint64(11)) + 0.5) * 2.0**-53  # 53 bits, never 0 or 1
    radius, angle = np.sqrt(-2 * np.log(uniform[:pairs])), 2 * np.pi * uniform[pairs:]
    values = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:size]
    result: Array = values.astype(np.float32).reshape(shape)
    return result


def direction(seed: int, shape: tuple[int, ...]) -> Array:
    """A random direction scaled to length sqrt(dimension), float32; uniform on the sphere."""
    vector = normal(seed, shape)
    length = np.sqrt(np.mean(np.square(vector, dtype=np.float64)))
    unit: Array = (vector / length).astype(np.float32)
    return unit


class NoiseBank:
    """Tensors of recipes of one shape, the recent ones kept.

    A search moves a pivot again and again; the kept pivot makes a candidate cost one direction, however many moves
    led to the pivot. What is kept never changes a value: a recipe is always summed from its seed onwards.
    """

    def __init__(self, shape: tuple[int, ...], keep: int = 1024) -> None:
        self.shape = shape
        self._keep = keep
        self._recent: OrderedDict[Noise, Array] = OrderedDict()

    def __call__(self, noise: Noise) -> Array:
        """The recipe's tensor, float32 of the bank's shape; not to be written to."""
        value = self._recent.get(noise)
        if value is None:
            value = self._make(noise)
            self._recent[noise] = value
            if len(self._recent) > self._keep:
                self._recent.popitem(last=False)
        else:
            self._recent.move_to_end(noise)
        return value

    def _make(self, noise: Noise) -> Array:
        if not noise.moves:
            return normal(noise.seed, self.shape)
        kept = len(noise.moves) - 1  # moves of the longest beginning that is at hand
        while kept > 0 and Noise(noise.seed, noise.moves[:kept]) not in self._recent:
            kept -= 1
        value = self(Noise(noise.seed, noise.moves[:kept]))
        for move in noise.moves[kept:]:
            value = value + np.float32(move.radius) * direction(move.seed, self.shape)
        return value


def to_record(noise: Noise | None) -> dict[str, Any] | None:
    """A recipe as plain values, for a Parquet row."""
    if noise is None:
        return None
    return {"seed": noise.seed, "moves": [{"seed": m.seed, "radius": m.radius} for m in noise.moves]}


def from_record(record: dict[str, Any] | None) -> Noise | None:
    """The recipe of :func:`to_record`."""
    if record is None:
        return None
    return Noise(record["seed"], tuple(Move(m["seed"], m["radius"]) for m in record["moves"]))
