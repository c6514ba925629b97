"""The code behind a study's searches, which is part of their trials' identity beside names and settings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bench.study.entries import Entry
from bench.study.search_checks import asked
from bench.study.trial import code_key
from tts.errors import SettingError
from tts.registry import SEARCHES


def codes_of(searches: Iterable[str | dict[str, Any]]) -> dict[str, Any]:
    """The code of the searches that are not registered, by name.

    Raises:
        SettingError: two of one name are different code.
    """
    codes: dict[str, Any] = {}
    for given in searches:
        name = str(given if isinstance(given, str) else given.get("name"))
        code, short = SEARCHES.origin(name), name.partition(":")[2] or name
        if codes.setdefault(short, code) != code:
            raise SettingError(f"searches: two are called {short}, and are different code; rename one of them")
    return {name: code for name, code in codes.items() if code is not None}


def identities_of(searches: Iterable[str | dict[str, Any]], entries: Iterable[Entry]) -> dict[str, Any]:
    """The identity of searches beyond names and settings: their code, and a version other than 1.

    It is by name; where the settings name another search, whose code or version these entries need, too, it is by name
    and settings, so that the same search around another one keeps its identity.
    """
    codes = codes_of(searches)
    for entry in entries:
        if entry.algorithm.version != 1:
            codes[entry.name] = {**codes.get(entry.name, {}), "version": entry.algorithm.version}
        if inner := asked(entry, "inner_code()", lambda search: search.inner_code()):
            codes[code_key(entry.name, entry.algorithm.text)] = {**codes.get(entry.name, {}), "inner": inner}
    return codes
