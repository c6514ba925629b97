"""ImageNet's thousand classes: their names, and how a configuration names some of them."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

from tts.errors import SettingError
from tts.settings import nearest

CLASSES = 1000
RANGE = re.compile(r"(\d+)-(\d+)")


@lru_cache(maxsize=1)
def names() -> tuple[str, ...]:
    """The names in torchvision's spelling, by index; all are different, though some differ only in case."""
    from torchvision.models import ResNet18_Weights

    return tuple(ResNet18_Weights.IMAGENET1K_V1.meta["categories"])


def index(value: object) -> int:
    """A class's index 0..999, from the index, its digits or the name.

    Raises:
        SettingError: there is no such class, or there are several.
    """
    number = int(value) if isinstance(value, str) and value.isdecimal() else value
    if isinstance(number, int) and not isinstance(number, bool) and 0 <= number < CLASSES:
        return number
    if not isinstance(value, str) or value.isdecimal():
        raise SettingError(f"class {value} is out of range: ImageNet has the classes 0 to {CLASSES - 1}")
    return _named(value)


def _named(name: str) -> int:
    """A class by its exact name, as a dog (Cardigan) and a garment (cardigan) differ only in the case of a letter."""
    exact = [place for place, other in enumerate(names()) if other == name]
    if len(exact) == 1:
        return exact[0]
    alike = exact or [place for place, other in enumerate(names()) if other.lower() == name.lower()]
    if len(alike) > 1:
        which = " or ".join(f"{place} ({names()[place]})" for place in alike)
        raise SettingError(f"class '{name}' may be {which}; give the index")
    raise SettingError(f"unknown class '{name}'; {nearest(name, names()) if name else 'name one'}")


def indices(given: Literal["all"] | list[int | str]) -> list[int]:
    """Class indices, in the order given, from a list of indices, names and ranges such as ``10-19`` (with both ends).

    Raises:
        SettingError: an entry names no class.
    """
    if given == "all":
        return list(range(CLASSES))
    try:
        return [place for part in given for place in _part(part)]
    except SettingError as error:
        raise SettingError(f"imagenet: {error}") from None


def _part(part: int | str) -> list[int]:
    found = RANGE.fullmatch(part) if isinstance(part, str) else None
    if found is None:
        return [index(part)]
    first, last = int(found[1]), int(found[2])
    if not first <= last < CLASSES:
        raise SettingError(f"classes {part}: a range goes up, within 0 to {CLASSES - 1}")
    return list(range(first, last + 1))
