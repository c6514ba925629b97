"""The pages that people read (README.md and those of docs/), and the code blocks on them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]

GENERATED = {"commands.md", "configuration.md", "metrics.md", "models.md", "rewards.md", "samplers.md", "sinks.md"}
"""Pages of docs/reference that test_reference.py compares; test_search_docs.py compares those of docs/searches."""

NEEDS = "# needs "
"""First words of a code block that cannot run in a test."""


class Block(NamedTuple):
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    text: str

    @property
    def needs(self) -> bool:
        """Whether the block needs more than a test has."""
        return self.text.startswith(NEEDS)

    @property
    def place(self) -> str:
        """Page and line of the block."""
        return f"{self.page}:{self.line}"


class Command(NamedTuple):
    """A ``tts-bench`` command: its words without the program's name."""

    words: tuple[str, ...]
    needs: bool


def pages() -> dict[str, str]:
    """The text of every page that is written by hand, by its path."""
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    for path in sorted((ROOT / "docs").rglob("*.md")):
        if path.parent.name != "searches" and not (path.parent.name == "reference" and path.name in GENERATED):
            found.append(path)
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in found}


def blocks(language: str | None = None) -> list[Block]:
    """The fenced blocks of a language, or of all; blocks of '' are for a shell."""
    found = []
    for page, text in pages().items():
        for match in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            line = text[: match.start()].count("\n") + 1
            found.append(Block(page, line, match[1], match[2]))
    return [block for block in found if language in (None, block.language)]


def commands() -> list[Command]:
    """Every ``tts-bench`` command in a block, and every one in the text that has an option, each once."""
    found: dict[tuple[str, ...], bool] = {}
    for words, needs in _commands():
        found[words] = found.get(words, True) and needs
    return [Command(words, needs) for words, needs in found.items()]


def _commands() -> Iterator[tuple[tuple[str, ...], bool]]:
    for block in blocks(""):
        for line in block.text.splitlines():
            if line.startswith("tts-bench "):
                yield tuple(shlex.split(line, comments=True)[1:]), block.needs
    for text in pages().values():
        for quoted in re.findall(r"(?<!`)`(tts-bench [^`]+? --[^`]+)`(?!`)", text):
            yield tuple(shlex.split(quoted)[1:]), False


def files() -> dict[str, str]:
    """The files that pages print: blocks whose first line is ``# NAME.py``."""
    found = {}
    for block in blocks("python"):
        name = re.match(r"# (\S+\.py)\n", block.text)
        if name is not None:
            found[name[1]] = block.text[name.end() :]
    return found
