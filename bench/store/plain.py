"""Values of a results folder as they may be printed: a terminal obeys control characters, JSON has no NaN."""

from __future__ import annotations

import math
import re
from typing import Any

CONTROL = "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
"""Control characters but tabs and line feeds, other ends of lines, and marks that turn the order of letters round."""
SURROGATE = "[\ud800-\udfff]"
"""Halves of a character: JSON can hold one alone, but no file and no terminal can. Rows have none."""
REPLACEMENT = "\ufffd"


def storable(text: str) -> str:
    """A text without halves of characters."""
    return re.sub(SURROGATE, REPLACEMENT, text)


def plain(text: str) -> str:
    """A text without control characters, but for the ends of lines and tabs, and without halves of characters."""
    return re.sub(f"{CONTROL}|{SURROGATE}", REPLACEMENT, text)


def plain_values(value: Any) -> Any:
    """JSON's values with every text, keys too, made :func:`plain`."""
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, list):
        return [plain_values(each) for each in value]
    if isinstance(value, dict):
        return {plain(key): plain_values(each) for key, each in value.items()}
    return value


def finite(value: Any) -> Any:
    """Nested plain values as JSON has them: a number that is none, or infinite, is null."""
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
