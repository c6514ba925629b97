"""GenEval's rules: a verdict from detected objects, strict as published, or graded."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from tts.rewards.geneval.metadata import Clause, Demand

if TYPE_CHECKING:
    from torch import Tensor

SURE, SURE_TO_COUNT = 0.3, 0.9
"""Confidence above which an object counts as present: in general, and in the counting task."""
MOST = 16
"""Most objects of a class that are considered, the most confident first."""
NEAR = 0.1
"""Share of the two objects' sizes that their distance must exceed to count."""


@dataclass(frozen=True, eq=False)
class Found:
    """A detected object.

    Args:
        name: its class.
        score: confidence, 0 to 1.
        box: left, top, right, bottom, in pixels.
        mask: ``[H, W]`` bool, its pixels; None: unknown.
    """

    name: str
    score: float
    box: tuple[float, float, float, float]
    mask: Tensor | None = None


Objects: TypeAlias = Mapping[str, Sequence[Found]]
"""Objects by class, the most confident first."""
Colours: TypeAlias = Callable[[Found], str]


def kept(found: Sequence[Found], task: str) -> dict[str, list[Found]]:
    """Objects that are confident enough for a task, by class, the most confident first."""
    least = SURE_TO_COUNT if task == "counting" else SURE
    groups: dict[str, list[Found]] = {}
    for each in sorted(found, key=lambda one: -one.score):
        if each.score > least:
            groups.setdefault(each.name, []).append(each)
    return {name: group[:MOST] for name, group in groups.items()}


def correct(objects: Objects, demand: Demand, colour: Colours) -> bool:
    """The published verdict: every clause holds for the most confident objects, and no excluded object is present."""
    return all(degree == 1 for degree in degrees(objects, demand, colour))


def graded(objects: Objects, demand: Demand, colour: Colours) -> float:
    """How far the demands hold, 0 to 1: the mean of :func:`degrees`; 1 exactly where the published verdict is true."""
    found = degrees(objects, demand, colour)
    return sum(found) / len(found)


def degrees(objects: Objects, demand: Demand, colour: Colours) -> list[float]:
    """How far each demand holds, 0 to 1. The order for each clause is: presence, colour, position.

    * Presence: the share of the wanted number that is present.
    * Colour: the share of the wanted number, among the most confident, that has it; 0 where too few are present.
    * Position: the share of pairs with the target's objects that have it; 0 where objects of either clause are missing.
    * Excluded objects: the allowed number over the number present.
    """
    found, groups = [], list[list[Found] | None]()
    for clause in demand.include:
        surest = list(objects.get(clause.name, ()))[: clause.count]
        of_clause = [len(surest) / clause.count, *_colour(surest, clause, colour)]
        if clause.relation is not None:
            of_clause.append(_position(surest, groups[clause.target], clause) if min(of_clause) == 1 else 0.0)
        groups.append(surest if min(of_clause) == 1 else None)
        found += of_clause
    return [*found, *(_absent(len(objects.get(clause.name, ())), clause) for clause in demand.exclude)]


def _colour(surest: Sequence[Found], clause: Clause, colour: Colours) -> list[float]:
    if clause.colour is None:
        return []
    if len(surest) < clause.count:
        return [0.0]
    return [sum(colour(each) == clause.colour for each in surest) / clause.count]


def _position(surest: Sequence[Found], targets: Sequence[Found] | None, clause: Clause) -> float:
    if targets is None:
        return 0.0
    held = [clause.relation in relations(each.box, target.box) for each in surest for target in targets]
    return sum(held) / len(held)


def _absent(number: int, clause: Clause) -> float:
    return 1.0 if number < clause.count else (clause.count - 1) / number


def relations(box: Sequence[float], other: Sequence[float]) -> set[str]:
    """Position of a box relative to another: left of, right of, above, below; empty where they are close.

    The distance of their centres is reduced along each axis by a tenth of both sizes; an axis counts where the rest
    exceeds half of the centres' distance.
    """
    offset = [(box[k] + box[k + 2] - other[k] - other[k + 2]) / 2 for k in (0, 1)]
    sizes = [abs(box[k + 2] - box[k]) + abs(other[k + 2] - other[k]) for k in (0, 1)]
    left = [math.copysign(max(abs(d) - NEAR * size, 0), d) for d, size in zip(offset, sizes, strict=True)]
    if all(abs(d) < 1e-3 for d in left):
        return set()
    dx, dy = (d / math.hypot(*offset) for d in left)
    held = {"left of": dx < -0.5, "right of": dx > 0.5, "above": dy < -0.5, "below": dy > 0.5}
    return {name for name, holds in held.items() if holds}
