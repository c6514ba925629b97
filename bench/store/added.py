"""Metrics that were added to a run after it began: a list beside its manifest, in a configuration's form."""

from __future__ import annotations

import json
from typing import Any

from bench.store.files import writing
from bench.store.plain import plain_values
from bench.store.storage import Output, place
from tts.errors import DataError

FILE = "metrics-added.json"


def read_added(output: Output) -> list[Any]:
    """What was added, in its order; none, if nothing.

    Raises:
        DataError: the file is damaged.
    """
    where = place(output)
    try:
        found = plain_values(json.loads(where.read(FILE) or b"[]"))
    except (OSError, ValueError, RecursionError):
        found = None
    if not isinstance(found, list):
        raise DataError(f"{where}: {FILE} is damaged; delete it and add the metrics again")
    return found


def write_added(output: Output, given: list[Any]) -> None:
    """Write the list anew.

    Raises:
        SettingError: it cannot be written.
    """
    where = place(output)
    with writing(where):
        where.write(FILE, json.dumps(given, indent=2).encode())
