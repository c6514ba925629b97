"""Prompts that are longer than a text encoder reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

SHOWN = 60
"""Most characters of a prompt that a message shows."""
TOLD_SINGLY = 3
"""Most cut prompts that a message lists; for more, it states the number and the first one."""


class Cut(NamedTuple):
    """The part of a prompt that a text encoder does not read.

    Attributes:
        limit: tokens of a prompt that are read.
        lost: the text of the tokens that are not read.
    """

    limit: int
    lost: str


def cut_by(tokenizer: Any, limit: int, prompt: str, tokens: Callable[[str], list[int]] | None = None) -> Cut | None:
    """The part of a prompt that a text encoder does not read; None if it reads all.

    Args:
        tokenizer: a tokenizer of transformers; when it cuts, it keeps its special tokens.
        limit: number of tokens that are read, including those around a prompt.
        prompt: the user's prompt.
        tokens: gives all tokens of a prompt, including those that its pipeline adds; None: the tokenizer does.
    """
    tokens = tokens or (lambda text: tokenizer(text)["input_ids"])
    whole, around = tokens(prompt), tokens("")
    before = _alike(whole, around)
    after = _alike(whole[::-1], around[before:][::-1])
    closing = max(0, tokenizer.num_special_tokens_to_add() - before)
    lost = whole[limit - closing : len(whole) - after]
    return Cut(limit - closing - before, tokenizer.decode(lost)) if lost else None


def _alike(tokens: list[int], others: list[int]) -> int:
    """Number of equal tokens at the beginning."""
    pairs = enumerate(zip(tokens, others, strict=False))
    return next((place for place, (ours, theirs) in pairs if ours != theirs), min(len(tokens), len(others)))


def cut_notes(prompts: Sequence[str], cut: Callable[[str], Cut | None]) -> list[str]:
    """Notes for the user on prompts that are cut: one line each, or a single line if they are many.

    Args:
        prompts: the prompts.
        cut: gives the part of a prompt that is not read; None: all is read.
    """
    every = list(dict.fromkeys(prompts))
    found = [(prompt, lost) for prompt in every if (lost := cut(prompt)) is not None]
    many = len(found) > TOLD_SINGLY
    notes = [_note(prompt, lost) for prompt, lost in (found[:1] if many else found)]
    return [f"{len(found)} of {len(every)} prompts are cut; the first: {notes[0]}"] if many else notes


def _note(prompt: str, cut: Cut) -> str:
    name, lost = shortened(prompt), shortened(cut.lost)
    return f"prompt '{name}' is longer than the {cut.limit} tokens that are read; cut: '{lost}'"


def shortened(prompt: str) -> str:
    """The beginning of a prompt in one line, for messages."""
    prompt = " ".join(prompt.split())
    return prompt if len(prompt) <= SHOWN else f"{prompt[:SHOWN]}..."


def lengthened(prompt: str) -> str:
    """A prompt many times as long, with which engines check at their start whether rows depend on one another."""
    return ", ".join([prompt] * 9)
