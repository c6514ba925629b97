"""Names of curves for people: a search's name, with the settings in which the curves of one name differ."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, TypeAlias

Curve: TypeAlias = tuple[str, str, str | None]
"""A search's name, its settings as JSON, and the setting that grows along the curve, if any."""


def curve_labels(points: Iterable[Curve]) -> dict[Curve, str]:
    """A readable label for the curve of each point.

    The label is the search's name and those settings that tell its curves apart: of all but the growing one,
    those that have not the same value on all of them.
    """
    fixed = {point: _fixed_settings(point[1], point[2]) for point in points}
    return {point: _told_apart(point[0], own, _alternatives(point[0], fixed)) for point, own in fixed.items()}


def _fixed_settings(settings: str, budget: str | None) -> dict[str, Any]:
    return {name: value for name, value in json.loads(settings).items() if name != budget}


def _alternatives(search: str, fixed: dict[Curve, dict[str, Any]]) -> list[dict[str, Any]]:
    return [settings for point, settings in fixed.items() if point[0] == search]


def _told_apart(search: str, own: dict[str, Any], alternatives: list[dict[str, Any]]) -> str:
    telling = [name for name in own if any(name not in other or other[name] != own[name] for other in alternatives)]
    return " ".join([search, *(f"{name}={_text(own[name])}" for name in telling)])


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
