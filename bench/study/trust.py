"""Limits of what a results folder may name: no code, and no path or address outside the folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from tts.errors import SettingError, UntrustedError
from tts.registry import METRICS, MODELS, REWARDS, SAMPLERS, SEARCHES, Registry

SECTIONS = ("model", "rewards", "held_out", "searches", "metrics")
"""The parts of a configuration that name plug-ins and weights."""
NAMES = ("name", "as", "reward")
"""Settings that hold names of plug-ins."""
PROMPT_FILE = "problems.conditions.file"
REGISTRIES: tuple[Registry[Any], ...] = (MODELS, SAMPLERS, REWARDS, METRICS, SEARCHES)
OUTSIDE = "code, a file or an address"


def refuse_foreign(config: Mapping[str, Any], where: str, sections: Iterable[str] = SECTIONS) -> None:
    """Refuse a manifest's configuration that names code, files, addresses or unknown repositories; opens nothing.

    Args:
        config: as it stands in a manifest.
        where: the run, for the message.
        sections: of the configuration, that are going to be used.

    Raises:
        UntrustedError: it names some.
    """
    for key, text, what in foreign(config, sections):
        raise UntrustedError(
            f"{where}: its manifest names {what} ({key} = {text[:100]!r}); if the run is your own, or you trust "
            "whoever made it, add --trust"
        )


def foreign(config: Mapping[str, Any], sections: Iterable[str] = SECTIONS) -> Iterator[tuple[str, str, str]]:
    """Entries of a configuration that lead out of a results folder: place, text, and what it would be."""
    for key, text in _prompt_files(config):
        yield key, text, OUTSIDE
    for section in sections:
        given = config.get(section)
        for key, text in _texts(given, section):
            if is_foreign(text) and text not in _known_places():
                yield key, text, OUTSIDE
        for key, text in _settings(given, section):
            if _is_here(text):
                yield key, text, "something in the working folder"
            elif "/" in text and text not in _known_places():
                yield key, text, "a file, or a repository of the hub that is not known here"


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


def _is_here(text: str) -> bool:
    """Whether a text would be taken for a file or folder of the working folder."""
    try:
        return bool(text.strip()) and Path(text).exists()
    except (OSError, ValueError):  # too long for a name, or no name at all
        return False


@cache
def _known_places() -> frozenset[str]:
    """Repositories and addresses that this package and the installed plug-ins take when nothing is named."""
    known = set[str]()
    for registry in REGISTRIES:
        for name in registry.targets:
            with suppress(SettingError):  # another package's, which cannot be imported: nothing is known of it
                known |= {str(field.default) for field in registry.get(name).model_fields.values()}
    return frozenset(text for text in known if "/" in text)


def _settings(value: object, key: str) -> Iterator[tuple[str, str]]:
    """Texts that are values of a plug-in's settings, with their places; no names of plug-ins."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if not isinstance(inner, str):
                yield from _settings(inner, f"{key}.{name}")
            elif name not in NAMES:
                yield f"{key}.{name}", inner
    elif isinstance(value, list | tuple):
        for inner in value:
            if isinstance(inner, str) and not any(inner in registry.targets for registry in REGISTRIES):
                yield key, inner
            else:
                yield from _settings(inner, key)


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
