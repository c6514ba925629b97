"""Texts that models were trained with, from their authors' published programs, read as data."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path

from tts.errors import WeightsError

CAPTION = "{caption}"
"""The placeholder of the prompt in a text."""


def filled(text: str, caption: str) -> str:
    """A text with the prompt in place of the placeholder; other braces stay as they are."""
    return text.replace(CAPTION, caption)


def constants(path: Path, names: Sequence[str], setting: str) -> str:
    """The top-level texts of these names in a Python program, joined; for any other file, its whole text.

    The program is parsed and never run.

    Raises:
        WeightsError: the file cannot be read, or lacks a name.
    """
    text = _read(path, setting)
    if path.suffix != ".py":
        return text
    found = dict(_named(_parsed(text, path, setting)))
    lacking = [name for name in names if name not in found]
    if lacking:
        raise WeightsError(f"{setting} {path}: has no text named {lacking[0]}")
    return "".join(found[name] for name in names)


def longest_question(path: Path, setting: str) -> str:
    """The longest f-string with one field in a Python program, as a text with :data:`CAPTION`; else the whole file.

    Raises:
        WeightsError: the file cannot be read, or has no such f-string.
    """
    text = _read(path, setting)
    if path.suffix != ".py":
        return text
    found = [_with_gap(node) for node in ast.walk(_parsed(text, path, setting)) if isinstance(node, ast.JoinedStr)]
    texts = [each for each in found if each.count(CAPTION) == 1]
    if not texts:
        raise WeightsError(f"{setting} {path}: has no f-string with one field")
    return max(texts, key=len)


def _read(path: Path, setting: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise WeightsError(f"{setting} {path}: cannot be read ({error})") from None


def _parsed(text: str, path: Path, setting: str) -> ast.Module:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise WeightsError(f"{setting} {path}: is not a Python program ({error})") from None


def _named(module: ast.Module) -> Iterator[tuple[str, str]]:
    for node in module.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield from ((target.id, node.value.value) for target in node.targets if isinstance(target, ast.Name))


def _with_gap(node: ast.JoinedStr) -> str:
    return "".join(str(part.value) if isinstance(part, ast.Constant) else CAPTION for part in node.values)
