"""Plug-ins of a configuration by their names: their own, or those that ``as`` gives them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from tts.errors import SettingError
from tts.registry import Registry

T = TypeVar("T")


def named(registry: Registry[T], given: Iterable[str | dict[str, Any]]) -> dict[str, T]:
    """Settings by name, in the order in which they are given.

    Raises:
        SettingError: one cannot be made, ``as`` is no name, or two have one name.
    """
    found: dict[str, T] = {}
    for each in given:
        name, settings = _named(registry, each)
        if name in found:
            raise SettingError(f"{registry.kind}s: {name} is named twice; give one of them another name with 'as'")
        found[name] = settings
    return found


def _named(registry: Registry[T], given: str | dict[str, Any]) -> tuple[str, T]:
    alias = given.get("as") if isinstance(given, dict) else None
    name, settings = registry.make(without_alias(given))
    if alias is not None and not (isinstance(alias, str) and alias.isidentifier()):
        raise SettingError(f"{registry.kind} {name}: as = {alias!r} is no name; use letters, digits and _")
    return alias or name, settings


def without_alias(given: str | dict[str, Any]) -> str | dict[str, Any]:
    """What names a plug-in, without ``as``."""
    return {key: value for key, value in given.items() if key != "as"} if isinstance(given, dict) else given
