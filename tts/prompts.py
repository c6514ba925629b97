"""Prompts that are longer than a text encoder reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

SHOWN = 60
"""Letters of a prompt that name it in a message."""
TOLD_SINGLY = 3
"""More cut prompts than these are told by their number and the first of them."""


class Cut(NamedTuple):
    """What is not read of a prompt.

    Attributes:
        limit: tokens of a prompt that are read.
        lost: the text of those that are not.
    """

    limit: int
    lost: str


def cut_notes(prompts: Sequence[str], cut: Callable[[str], Cut | None]) -> list[str]:
    """What a user should know of prompts that are cut, a line each, or one line where they are many.

    Args:
        cut: what is not read of a prompt; None: all of it is read.
    """
    found = [(prompt, lost) for prompt in dict.fromkeys(prompts) if (lost := cut(prompt)) is not None]
    if len(found) <= TOLD_SINGLY:
        return [
            f"prompt '{_short(prompt)}' is longer than the {lost.limit} tokens that are read; cut: '{lost.lost}'"
            for prompt, lost in found
        ]
    prompt, lost = found[0]
    return [
        f"{len(found)} of {len(dict.fromkeys(prompts))} prompts are longer than the {lost.limit} tokens that are read; "
        f"cut of the first of them, '{_short(prompt)}': '{lost.lost}'"
    ]


def _short(prompt: str) -> str:
    return prompt if len(prompt) <= SHOWN else f"{prompt[:SHOWN]}..."
