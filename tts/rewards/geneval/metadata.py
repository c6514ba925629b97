"""GenEval's prompts and what their images must show, in the published form: one JSON object per line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tts.errors import DataError

TASKS = ("single_object", "two_object", "counting", "colors", "position", "color_attr")
"""The six tasks: the values of ``tag`` in the published lines."""
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white")
RELATIONS = ("left of", "right of", "above", "below")


@dataclass(frozen=True)
class Clause:
    """Objects that an image must show.

    Args:
        name: class of the objects.
        count: least number of them.
        colour: their colour; None: any.
        relation: where each object must be relative to the objects of another clause; None: anywhere.
        target: index of that clause, from 0.
    """

    name: str
    count: int
    colour: str | None = None
    relation: str | None = None
    target: int = 0


@dataclass(frozen=True)
class Demand:
    """Everything that the image of a prompt must show.

    Args:
        task: one of :data:`TASKS`.
        prompt: the prompt.
        include: objects that it must show.
        exclude: objects of which there must be fewer than ``count``.
    """

    task: str
    prompt: str
    include: tuple[Clause, ...]
    exclude: tuple[Clause, ...]

    @property
    def classes(self) -> list[str]:
        """All classes of objects that it names."""
        return list(dict.fromkeys(clause.name for clause in (*self.include, *self.exclude)))


def read(path: Path) -> list[Demand]:
    """The lines of a metadata file, in their order.

    Raises:
        DataError: the file cannot be read, or a line lacks the published form; the message has the line's number.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"metadata {path}: cannot be read ({error})") from None
    found = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                found.append(_demand(json.loads(line)))
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                raise DataError(f"metadata {path}, line {number}: does not have GenEval's form ({error})") from None
    if not found:
        raise DataError(f"metadata {path}: has no lines")
    return found


def _demand(line: Mapping[str, Any]) -> Demand:
    include = tuple(_clause(each) for each in line["include"])
    exclude = tuple(_clause(each) for each in line.get("exclude", ()))
    for place, clause in enumerate(include):
        if clause.relation is not None and not 0 <= clause.target < place:
            raise ValueError(f"{clause.name} is {clause.relation} objects that no earlier clause names")
    if line["tag"] not in TASKS:
        raise ValueError(f"tag {line['tag']!r} is not one of {', '.join(TASKS)}")
    return Demand(line["tag"], str(line["prompt"]).strip(), include, exclude)


def _clause(given: Mapping[str, Any]) -> Clause:
    relation, target = given.get("position") or (None, 0)
    clause = Clause(str(given["class"]), int(given["count"]), given.get("color"), relation, int(target))
    if clause.colour not in (None, *COLOURS):
        raise ValueError(f"color {clause.colour!r} is not one of {', '.join(COLOURS)}")
    if relation not in (None, *RELATIONS):
        raise ValueError(f"position {relation!r} is not one of {', '.join(RELATIONS)}")
    if clause.count < 1:
        raise ValueError(f"count {clause.count} is below 1")
    return clause
