"""The rules of :mod:`tts.moves` on any device, for many noises and moves of one kind at once.

A rule takes noises ``[R, *shape]`` float32 and one move for each, and returns the moved noises.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from tts.device_noise.normals import direction, normal, to_length, uniform
from tts.engine.device_queue import upload
from tts.moves import AnyMove, Band, Box, Mixture, Move, Turn, check_band

Rule = Callable[[Tensor, Sequence[Any]], Tensor]


def moved(before: Tensor, moves: Sequence[AnyMove]) -> Tensor:
    """Noises ``[R, *shape]`` float32, each moved by its own move; all moves have one :func:`kind`.

    Raises:
        ValueError: a move does not fit the shape.
    """
    return RULES[type(moves[0])](before, moves)


def kind(move: AnyMove) -> tuple[str | int, ...]:
    """Key of a move; moves with the same key can be applied at once."""
    match move:
        case Mixture(seeds=seeds):
            return "Mixture", len(seeds)
        case Band(level=level, values=values):
            return "Band", level, len(values)
    return (type(move).__name__,)


def _step(before: Tensor, moves: Sequence[Move]) -> Tensor:
    """``z + radius u`` with u of length sqrt(d); in float32."""
    unit = direction(_seeds(before, [move.seed for move in moves]), before[0].numel()).view_as(before)
    shift = unit * _column(before, [move.radius for move in moves], torch.float32)
    return before + shift


def _turn(before: Tensor, moves: Sequence[Turn]) -> Tensor:
    """``sqrt(1 - b^2) z + b u``, u normal; in float64."""
    fresh = normal(_seeds(before, [move.seed for move in moves]), before[0].numel()).view_as(before).double()
    kept = before.double() * _column(before, [math.sqrt(1 - move.b * move.b) for move in moves])
    added = fresh * _column(before, [move.b for move in moves])
    return (kept + added).float()


def _mix(before: Tensor, moves: Sequence[Mixture]) -> Tensor:
    """``own z + sum w_i z_i`` at length sqrt(d), in the order of the seeds; in float64."""
    sums = before.double() * _column(before, [move.own for move in moves])
    for seeds, weights in zip(
        zip(*(move.seeds for move in moves), strict=True),
        zip(*(move.weights for move in moves), strict=True),
        strict=True,
    ):
        part = normal(_seeds(before, seeds), before[0].numel()).view_as(before).double() * _column(before, weights)
        sums = sums + part
    some = (sums != 0).flatten(1).any(1).view(-1, *[1] * (before.dim() - 1))
    return torch.where(some, to_length(sums.flatten(1)).view_as(before), before)


def _box(before: Tensor, moves: Sequence[Box]) -> Tensor:
    """``z + length (v - 1/2)`` where ``u < share``, with u, v uniform in (0, 1); in float64."""
    size = before[0].numel()
    both = uniform(_seeds(before, [move.seed for move in moves]), 2 * size)
    chance, place = (half.reshape(before.shape) for half in torch.split(both, size, 1))
    shift = (place - 0.5) * _column(before, [move.length for move in moves])
    chosen: Tensor = chance < _column(before, [move.share for move in moves])
    return (before.double() + shift * chosen).float()


def _band(before: Tensor, moves: Sequence[Band]) -> Tensor:
    """The noises with these coefficients in the lowest Haar band; sums are pairwise, in float64."""
    level = moves[0].level
    check_band(tuple(before.shape[1:]), level, len(moves[0].values))
    size = 2**level
    rows, channels, height, width = before.shape
    blocks = before.double().view(rows, channels, height // size, size, width // size, size)
    sums = blocks
    for axis in (3, 5):
        while (length := sums.shape[axis]) > 1:
            sums = sums.narrow(axis, 0, length // 2) + sums.narrow(axis, length // 2, length // 2)
    wanted = torch.tensor([move.values for move in moves], dtype=torch.float64)
    shift = upload(wanted, before.device).view_as(sums) - sums * 2.0**-level
    return (blocks + shift * 2.0**-level).view_as(before).float()


RULES: dict[type, Rule] = {Move: _step, Turn: _turn, Mixture: _mix, Box: _box, Band: _band}


def _seeds(before: Tensor, seeds: Sequence[int]) -> Tensor:
    return upload(torch.tensor(seeds, dtype=torch.int64), before.device)


def _column(before: Tensor, values: Sequence[float], dtype: torch.dtype = torch.float64) -> Tensor:
    """One number for each row, in a shape that broadcasts to the rows."""
    return upload(torch.tensor(values, dtype=dtype).view(-1, *[1] * (before.dim() - 1)), before.device)
