"""How a check fails: with a sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NoReturn

from tts.errors import SettingError
from tts.settings import Settings, canonical, parse


class Violation(AssertionError):
    """A rule that is broken; ``str(violation)`` says what is wrong and what to do."""


def fail(message: str) -> NoReturn:
    """Break off a check.

    Raises:
        Violation: always.
    """
    raise Violation(message)


def require(condition: bool, message: str) -> None:
    """Go on only if something holds.

    Raises:
        Violation: it does not.
    """
    if not condition:
        fail(message)


def round_trip(settings: Settings) -> None:
    """Require that settings are the same after they have stood in a configuration."""
    kind = type(settings)
    try:
        read = parse(kind, json.loads(canonical(settings.record())), kind.__name__)
    except (TypeError, ValueError) as error:
        fail(f"its settings cannot be written to a configuration and read again: {error}")
    require(
        read == settings,
        f"its settings change when they are written and read again: {settings.record()} becomes {read.record()}",
    )


def refuses_unknown_keys(settings: Settings) -> None:
    """Require that a misspelt setting is an error, not nothing."""
    try:
        parse(type(settings), {**settings.record(), "no_such_setting": 1}, "settings")
    except SettingError as error:
        if "no_such_setting" in str(error):
            return
        fail(f"an unknown setting gives the message '{error}', which does not name it")
    fail("takes a setting that it does not have; leave 'extra' of Settings as it is ('forbid')")


def plain(value: object, what: str) -> None:
    """Require that a value is plain JSON, the same after it was written and read."""
    try:
        same = json.loads(canonical(value)) == value
    except (TypeError, ValueError) as error:
        fail(f"{what} is no plain JSON: {error}; give numbers, texts, lists and dictionaries with texts as keys")
    require(same, f"{what} changes when it is written as JSON and read again; keys must be texts, and tuples lists")


def refuses(call: Callable[[], Any], what: str) -> None:
    """Require that a call raises a :class:`~tts.errors.SettingError`."""
    try:
        found = call()
    except SettingError:
        return
    except Exception as error:
        fail(f"{what} raises {type(error).__name__}; raise a SettingError that says what is known")
    fail(f"{what} gives {found!r}; raise a SettingError that says what is known")
