"""Tokenizers of pipelines, and the parts of prompts that they cut."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from tts.errors import WeightsError, first_line
from tts.prompts import Cut, cut_by

ENDLESS = 1 << 20
"""A tokenizer's own limit of this many tokens or more counts as no limit."""
LENGTHS = ("max_sequence_length", "tokenizer_max_length")
"""Names of pipelines' arguments that set how many tokens are read."""


def read_tokenizer(folder: Path) -> Any:
    """A tokenizer of transformers from a checkpoint's folder; no code of the checkpoint is run.

    Raises:
        WeightsError: its files are missing or damaged, or its class is unknown.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        raise WeightsError(f"its {folder.name} cannot be read ({first_line(error)[:200]}); fetch it anew") from None


def length_read(kind: type, arguments: Mapping[str, Any]) -> int | None:
    """Number of tokens of a prompt that a class of pipelines reads; None: its tokenizers decide.

    Args:
        kind: the class.
        arguments: arguments of its call.
    """
    given = [arguments.get(name) for name in LENGTHS]
    methods = [kind.__call__, kind.encode_prompt]  # type: ignore[attr-defined]
    signatures = [inspect.signature(method).parameters for method in methods if method is not None]
    preset = [known[name].default for known in signatures for name in LENGTHS if name in known]
    return next((length for length in [*given, *preset] if type(length) is int), None)


def cutter_of(tokenizers: Iterable[Any], length: int | None) -> Callable[[str], Cut | None]:
    """A function that finds the part of a prompt that none of a pipeline's tokenizers reads; None: all is read.

    Args:
        tokenizers: tokenizers of transformers; CLIP's never read more tokens than they were made for.
        length: tokens that the pipeline reads by the other tokenizers; None: as many as each was made for.
    """
    limits = [(tokenizer, _limit(tokenizer, length)) for tokenizer in tokenizers]

    def cut(prompt: str) -> Cut | None:
        found = [None if limit is None else cut_by(tokenizer, limit, prompt) for tokenizer, limit in limits]
        lost = [each for each in found if each is not None]
        return max(lost, key=lambda each: each.limit) if lost and len(lost) == len(found) else None

    return cut


def _limit(tokenizer: Any, length: int | None) -> int | None:
    own = int(tokenizer.model_max_length)
    if type(tokenizer).__name__.startswith("CLIP"):
        return min(own, length or own)
    return length or (own if own < ENDLESS else None)
