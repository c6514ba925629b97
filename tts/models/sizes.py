"""Heights and widths, given as one number or a pair."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

from pydantic import Field

from tts.errors import WeightsError

Side: TypeAlias = Annotated[int, Field(ge=8, multiple_of=8)]
"""Pixels along a side of an image."""


def both(size: int | tuple[int, int]) -> tuple[int, int]:
    """Height and width."""
    return (size, size) if isinstance(size, int) else size


def sample_size(config: Mapping[str, Any], part: str, remedy: str) -> tuple[int, int]:
    """Height and width of a network's latents, from its ``sample_size``.

    Args:
        config: the network's configuration.
        part: the network's name in the checkpoint.
        remedy: which setting to change, for the message.

    Raises:
        WeightsError: ``sample_size`` is missing, or neither a number nor ``[height, width]``.
    """
    found = config.get("sample_size")
    sides: list[Any] = list(found) if isinstance(found, list | tuple) else [found, found]
    if len(sides) != 2 or any(type(side) is not int or side < 1 for side in sides):
        raise WeightsError(f"its {part}'s sample_size is {found!r}, neither a number nor [height, width]; {remedy}")
    return sides[0], sides[1]
