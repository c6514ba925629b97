"""Texts of a results folder as they may be printed: a terminal obeys control characters."""

from __future__ import annotations

from typing import Any


def plain(text: str) -> str:
    """A text without control characters, but for the ends of lines and tabs."""
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "\ufffd" for letter in text)


def plain_values(value: Any) -> Any:
    """JSON's values with every text, keys too, made :func:`plain`."""
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, list):
        return [plain_values(each) for each in value]
    if isinstance(value, dict):
        return {plain(key): plain_values(each) for key, each in value.items()}
    return value
