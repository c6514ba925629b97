"""Scores in the words of a model."""

from __future__ import annotations

import math
import re

from tts.rewards.base import Score


def written(pattern: str | re.Pattern[str], text: str) -> Score:
    """The number that the first group of a pattern finds in a text, or None; a full stop after it is no part of it."""
    found = re.search(pattern, text)
    try:
        value = math.nan if found is None else float((found.group(1) or "").rstrip("."))
    except ValueError:
        return None
    return value if math.isfinite(value) else None
