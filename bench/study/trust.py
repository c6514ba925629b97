"""What a results folder may say: data, never code, and no path or address outside the folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tts.errors import UntrustedError

SECTIONS = ("model", "rewards", "held_out", "searches", "metrics")
"""The parts of a configuration that name plug-ins and weights."""
PROMPT_FILE = "problems.conditions.file"


def refuse_foreign(config: Mapping[str, Any], where: str, sections: Iterable[str] = SECTIONS) -> None:
    """Refuse a manifest's configuration that names code, files or addresses; nothing is imported or opened.

    Args:
        config: as it stands in a manifest.
        where: the run, for the message.
        sections: of the configuration, that are going to be used.

    Raises:
        UntrustedError: it names some.
    """
    foreign = ((key, text) for section in sections for key, text in _texts(config.get(section), section))
    for key, text in (*_prompt_files(config), *foreign):
        if key == PROMPT_FILE or is_foreign(text):
            raise UntrustedError(
                f"{where}: its manifest names code, a file or an address ({key} = {text[:100]!r}); if the run is "
                "your own, or you trust whoever made it, add --trust"
            )


def _prompt_files(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The file of prompts that a configuration names, wherever it lies: a run's own manifest has the prompts."""
    problems = config.get("problems")
    conditions = problems.get("conditions") if isinstance(problems, Mapping) else None
    if not isinstance(conditions, Mapping) or "file" not in conditions:
        return []
    return [(PROMPT_FILE, str(conditions["file"]))]


def is_foreign(text: str) -> bool:
    """Whether a text may name something outside: ``module:object``, a path or an address, but no repository's name."""
    return ":" in text or "\\" in text or ".." in text or text.startswith(("/", "~", ".")) or text.count("/") > 1


def texts(value: object) -> list[str]:
    """Every text in nested values, keys of mappings too."""
    return [text for _, text in _texts(value, "")]


def _texts(value: object, key: str) -> Iterator[tuple[str, str]]:
    """Every text in nested values, keys of mappings too, with its place."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield key, str(name)
            yield from _texts(inner, f"{key}.{name}")
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner, key)
