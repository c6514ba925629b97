"""Paths with ``~`` for somebody's home."""

from __future__ import annotations

import os
from pathlib import Path

from tts.errors import SettingError


def expanded(path: str | Path) -> Path:
    """A path whose ``~`` or ``~NAME`` is the home of this user, or of that one.

    Raises:
        SettingError: there is no such user, nobody knows where this one is at home, or it is no path.
    """
    if "\0" in str(path):
        raise SettingError(f"{str(path)!r}: a path has no NUL character")
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        raise SettingError(f"{str(path)!r}: holds what cannot stand in a path on this machine") from None
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise SettingError(f"{path}: no home is known for '{Path(path).parts[0]}'; write the whole path") from None
