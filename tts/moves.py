"""Moves from a noise to another one: a small open set of kinds, each with its tensor rule and its record.

A move is a few numbers; ``applied`` is a pure function of them and of the tensor before. A new kind is a class here and
a line in :data:`KINDS`; rows that were written before it keep their meaning. Moves of two kinds are never equal.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from tts.normals import Array, direction, normal, to_length, uniform

SEEDS = 1 << 63
"""Seeds are from 0 to below this: rows keep them as signed integers of 64 bits."""

DEEPEST = 16
"""Greatest level of a band: a block of it has more values than any model has."""


class Move(NamedTuple):
    """A step along a random unit vector scaled to ``radius`` times sqrt(dimension).

    A normal noise of dimension d has a length of about sqrt(d), so that a radius of 0.15 moves it by 15 % of that.
    """

    seed: int
    radius: float

    def applied(self, before: Array) -> Array:
        """``z + radius u`` with u of length sqrt(d)."""
        return before + np.float32(self.radius) * direction(self.seed, before.shape)

    def record(self) -> dict[str, Any]:
        """Plain values, without a kind, as rows had them before there were others."""
        return {"seed": self.seed, "radius": self.radius}

    @classmethod
    def of(cls, record: dict[str, Any]) -> Move:
        """The move of :meth:`record`."""
        return cls(seed_of(record["seed"]), _number(record["radius"]))


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn on the sphere: a normal noise stays one (EvoSearch, arXiv 2505.17618; zero-order on x_T, 2501.09732).

    Args:
        b: in [0, 1]; 0 changes nothing, 1 gives a fresh noise. The cosine of the angle is about sqrt(1 - b^2).
    """

    seed: int
    b: float

    def applied(self, before: Array) -> Array:
        """``sqrt(1 - b^2) z + b u``, u normal; in float64."""
        kept = math.sqrt(1 - self.b * self.b)
        turned: Array = (kept * before.astype(np.float64) + self.b * normal(self.seed, before.shape)).astype(np.float32)
        return turned

    def record(self) -> dict[str, Any]:
        """Plain values."""
        return {"kind": "turn", "seed": self.seed, "radius": self.b}

    @classmethod
    def of(cls, record: dict[str, Any]) -> Turn:
        """The move of :meth:`record`."""
        return cls(seed_of(record["seed"]), _number(record["radius"], 0, 1))


@dataclass(frozen=True, slots=True)
class Mixture:
    """A weighted sum of noises, scaled to length sqrt(dimension) (Demon, arXiv 2410.05760).

    No seed may occur twice or be that of the noise itself: one direction would add up where others average out.

    Args:
        seeds: seeds of the added noises.
        weights: one weight for each added noise; their common scale does not matter.
        own: weight of the noise that is moved.
    """

    seeds: tuple[int, ...]
    weights: tuple[float, ...]
    own: float = 0.0

    def applied(self, before: Array) -> Array:
        """``own z + sum w_i z_i`` at length sqrt(d); in float64. All weights 0 leave the noise as it is."""
        total = self.own * before.astype(np.float64)
        for seed, weight in zip(self.seeds, self.weights, strict=True):
            total += weight * normal(seed, before.shape)
        return to_length(total) if total.any() else before

    def record(self) -> dict[str, Any]:
        """Plain values."""
        return {"kind": "mixture", "radius": self.own, "seeds": list(self.seeds), "values": list(self.weights)}

    @classmethod
    def of(cls, record: dict[str, Any]) -> Mixture:
        """The move of :meth:`record`."""
        seeds, weights = tuple(map(seed_of, record["seeds"])), tuple(map(_number, record["values"]))
        if len(seeds) != len(weights):
            raise ValueError(f"a recipe mixes {len(seeds)} noises by {len(weights)} weights")
        return cls(seeds, weights, _number(record["radius"]))


@dataclass(frozen=True, slots=True)
class Box:
    """A random share of the coordinates moved inside a cube around them (trust regions: TRS, arXiv 2603.14504).

    Args:
        length: edge of the cube.
        share: probability that a coordinate moves, in (0, 1]; coordinates are independent.
    """

    seed: int
    length: float
    share: float

    def applied(self, before: Array) -> Array:
        """``z + length (v - 1/2)`` where ``u < share``, with u, v uniform in (0, 1)."""
        chance, place = np.split(uniform(self.seed, 2 * before.size), 2)
        shift = np.where(chance < self.share, self.length * (place - 0.5), 0.0).reshape(before.shape)
        moved: Array = (before.astype(np.float64) + shift).astype(np.float32)
        return moved

    def record(self) -> dict[str, Any]:
        """Plain values."""
        return {"kind": "box", "seed": self.seed, "radius": self.length, "values": [self.share]}

    @classmethod
    def of(cls, record: dict[str, Any]) -> Box:
        """The move of :meth:`record`."""
        [share] = map(_number, record["values"])
        return cls(seed_of(record["seed"]), _number(record["radius"]), share)


@dataclass(frozen=True, slots=True)
class Band:
    """Given values in the lowest band of the orthonormal Haar wavelets (SES, arXiv 2602.03208); the rest stays.

    A coefficient of level L is the sum of a block of 2^L by 2^L values over 2^L, so that those of a normal noise are
    normal. Changing one shifts all values of its block alike.

    Args:
        level: L, at least 1; height and width must be multiples of 2^L.
        values: the coefficients, row by row, channel by channel: ``C (H / 2^L) (W / 2^L)`` of them.
    """

    level: int
    values: tuple[float, ...]

    def applied(self, before: Array) -> Array:
        """The noise with these coefficients; in float64.

        Raises:
            ValueError: their number, or the level, does not fit the shape.
        """
        blocks = _blocks(before, self.level)
        check_band(before.shape, self.level, len(self.values))
        wanted = np.asarray(self.values, np.float64)
        wanted = wanted.reshape(blocks.shape[0], blocks.shape[1], 1, blocks.shape[3], 1)
        shift = (wanted - band(before, self.level).reshape(wanted.shape)) / 2**self.level
        changed: Array = (blocks + shift).reshape(before.shape).astype(np.float32)
        return changed

    def record(self) -> dict[str, Any]:
        """Plain values."""
        return {"kind": "band", "radius": float(self.level), "values": list(self.values)}

    @classmethod
    def of(cls, record: dict[str, Any]) -> Band:
        """The move of :meth:`record`."""
        level = _number(record["radius"], 1, DEEPEST)
        if level % 1:
            raise ValueError(f"a recipe has a band of level {level}, which is no integer")
        return cls(int(level), tuple(map(_number, record["values"])))


def band(noise: Array, level: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The lowest Haar band of a noise ``[C, H, W]``: ``[C, H / 2^level, W / 2^level]``, float64.

    Raises:
        ValueError: height or width is no multiple of 2^level.
    """
    sums: np.ndarray[Any, np.dtype[np.float64]] = _blocks(noise, level).sum(axis=(2, 4)) / 2**level
    return sums


def check_band(shape: tuple[int, ...], level: int, values: int | None = None) -> None:
    """Refuse a level, or a number of coefficients, that does not fit noises of a shape.

    Raises:
        ValueError: the level or the number does not fit.
    """
    if not 1 <= level <= DEEPEST or len(shape) != 3 or any(edge % 2**level for edge in shape[1:]):
        raise ValueError(f"noises of shape {shape} have no band of level {level}")
    if values is not None and values != math.prod(shape) // 4**level:
        raise ValueError(f"a band of level {level} of {shape} has not {values} values")


def _blocks(noise: Array, level: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """``[C, h, 2^level, w, 2^level]``, float64."""
    check_band(noise.shape, level)
    size = 2**level
    channels, height, width = noise.shape
    return noise.astype(np.float64).reshape(channels, height // size, size, width // size, size)


AnyMove: TypeAlias = Move | Turn | Mixture | Box | Band

KINDS: dict[str | None, type[AnyMove]] = {None: Move, "turn": Turn, "mixture": Mixture, "box": Box, "band": Band}
"""Moves by the kind that a record names; rows from before there were kinds name none."""


def from_record(record: dict[str, Any]) -> AnyMove:
    """The move of a record, which is data from anywhere; entries that another kind needs may be null.

    Raises:
        ValueError: there is no such kind, or a number of it is none that such a move can have.
        TypeError, LookupError, ArithmeticError: an entry is no number, or missing, or too large.
    """
    kind = KINDS.get(record.get("kind"))
    if kind is None:
        raise ValueError(f"a recipe has a move of an unknown kind, {record.get('kind')!r}")
    return kind.of(record)


def seed_of(value: Any) -> int:
    """A record's seed.

    Raises:
        TypeError: it is no integer.
        ValueError: it is none that a noise can have.
    """
    seed = operator.index(value)
    if not 0 <= seed < SEEDS:
        raise ValueError(f"a recipe has the seed {seed}; seeds are integers from 0 to 2^63 - 1")
    return seed


def _number(value: Any, least: float = -math.inf, most: float = math.inf) -> float:
    number = float(value)
    if not (math.isfinite(number) and least <= number <= most):
        limits = "a finite number" if most == math.inf else f"from {least:g} to {most:g}"
        raise ValueError(f"a recipe has a move by {number:g}, which must be {limits}")
    return number
