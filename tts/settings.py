"""Typed settings that refuse unknown keys and suggest the nearest known one."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable
from functools import cached_property
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from tts.errors import SettingError
from tts.files.addresses import redacted

S = TypeVar("S", bound=BaseModel)

SHOWN_LETTERS = 100
"""Most characters of a wrong value that a message shows."""

UNION_TAG = re.compile(r"(constrained-)?(str|int|float|bool|list|tuple|dict|literal)(\[.*\])?|\[key\]")
"""Words with which pydantic distinguishes the alternatives of a union in a location; messages leave them out."""


class Settings(BaseModel):
    """Base of every settings class: frozen, strict about keys, filled by name or by the paper's symbol."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False)

    def record(self) -> dict[str, Any]:
        """The settings as plain JSON values under the names that a configuration uses."""
        return self.model_dump(mode="json", by_alias=True)

    @cached_property
    def text(self) -> str:
        """:meth:`record` as canonical JSON."""
        return canonical(self.record())


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal texts."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def parse(kind: type[S], values: Any, where: str) -> S:
    """Settings of a kind from plain values.

    Args:
        kind: a :class:`Settings` class.
        values: a mapping, as read from a file.
        where: what the values describe, for the message.

    Raises:
        SettingError: a value is wrong; the message names the first such key and, for an unknown one, the nearest.
    """
    if not isinstance(values, dict):
        raise SettingError(f"{where}: expected settings as 'key: value', got {_shown(values)}")
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise SettingError(f"{where}: {_explain(error.errors(), kind)}") from None
    except UnicodeEncodeError as error:  # pydantic cannot repeat such a text
        raise SettingError(f"{where}: half of a character, which no text has, in {_shown(error.object)}") from None


def nearest(name: object, known: Iterable[str]) -> str:
    """``did you mean 'x'?``, or the known names if none is near."""
    spelled = {word.lower(): word for word in sorted(known)}
    close = difflib.get_close_matches(str(name).lower(), spelled, n=1, cutoff=0.5)
    return f"did you mean '{spelled[close[0]]}'?" if close else f"known: {', '.join(sorted(known))}"


def _explain(errors: list[ErrorDetails], kind: type[BaseModel]) -> str:
    error, place = errors[0], _place(errors[0])
    if isinstance(cause := error.get("ctx", {}).get("error"), SettingError):
        return str(cause)  # an error of nested settings, which name themselves
    if error["type"] == "extra_forbidden":
        return f"unknown key '{place}'; {nearest(error['loc'][-1], _known_keys(kind, error['loc'][:-1]))}"
    if error["type"] == "missing":
        return f"'{place}' is missing"
    alternatives = [other for other in errors if _place(other).startswith(place)]
    error = max(alternatives, key=lambda other: _place(other).count("."))  # the one closest to the wrong value
    place = _place(error)
    messages = [other["msg"].removeprefix("Value error, ") for other in alternatives if _place(other) == place]
    message = " or ".join([messages[0], *(other.removeprefix("Input should be ") for other in messages[1:])])
    return f"{place} = {_shown(error['input'])}: {message}" if place else message


def _shown(value: object) -> str:
    """A wrong value for a message: short, and without secrets."""
    text = redacted(repr(value))
    return text if len(text) <= SHOWN_LETTERS else f"{text[:SHOWN_LETTERS]}..."


def _place(error: ErrorDetails) -> str:
    return ".".join(str(part) for part in error["loc"] if not UNION_TAG.fullmatch(str(part)))


def _known_keys(kind: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    for part in path:
        field = kind.model_fields.get(str(part))
        for each in (field.annotation, *get_args(field.annotation)) if field is not None else ():
            if isinstance(each, type) and issubclass(each, BaseModel):
                kind = each
    return [field.alias or name for name, field in kind.model_fields.items()]
