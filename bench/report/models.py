"""Names of the models of several runs, by what tells them apart."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

HEX = re.compile("[0-9a-f]{16,}")
STEPS = "steps"


def model_names(manifests: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """For each run the name of its model with its sampler, and that name without the number of steps.

    A name is the model's and those settings that are not the same in all runs, as the resolved configuration has them;
    of weights it has the file's name, the first digits of their digest, or both where files of one name differ. A
    model's own weights have no name where all runs that name no file have the same.

    Args:
        manifests: as the store reads them.
    """
    found = [_flat(manifest["resolved"]["model"]) for manifest in manifests]
    keys = list(dict.fromkeys(key for each in found for key in each if key != "name"))
    telling = [key for key in keys if len({str(each.get(key)) for each in found}) > 1]
    given = [_flat(manifest.get("config", {}).get("model")) for manifest in manifests]
    named = [
        [_part(key, each, files, _own(key, found, given), _shared(key, found, given)) for key in telling]
        for each, files in zip(found, given, strict=True)
    ]
    return [
        (
            _name(each, parts),
            _name(each, [part for key, part in zip(telling, parts, strict=True) if _short(key) != STEPS]),
        )
        for each, parts in zip(found, named, strict=True)
    ]


def steps_of(manifest: Mapping[str, Any]) -> int | None:
    """The number of steps of a run's sampler; None: it has none."""
    found = [value for key, value in _flat(manifest["resolved"]["model"]).items() if _short(key) == STEPS]
    return found[0] if len(found) == 1 and isinstance(found[0], int) else None


def _name(settings: Mapping[str, Any], parts: Sequence[str]) -> str:
    return " ".join([str(settings.get("name", "model")), *(part for part in parts if part)])


def _own(key: str, found: Sequence[Mapping[str, Any]], given: Sequence[Mapping[str, Any]]) -> set[str]:
    """The value, as text, that a setting has in all runs that do not set it; empty where they differ."""
    values = {str(each.get(key)) for each, files in zip(found, given, strict=True) if not files.get(key)}
    return values if len(values) == 1 else set()


def _shared(key: str, found: Sequence[Mapping[str, Any]], given: Sequence[Mapping[str, Any]]) -> set[str]:
    """Names of files that have different weights in different runs."""
    named = {
        (_stem(files[key]), str(each.get(key))) for each, files in zip(found, given, strict=True) if files.get(key)
    }
    return {stem for stem, times in Counter(stem for stem, _ in named).items() if times > 1}


def _stem(file: Any) -> str:
    return PurePosixPath(str(file)).stem


def _part(key: str, settings: Mapping[str, Any], given: Mapping[str, Any], own: set[str], shared: set[str]) -> str:
    """What a name says of one setting; empty: nothing."""
    value = settings.get(key)
    if isinstance(value, str) and HEX.fullmatch(value):
        if given.get(key):
            stem = _stem(given[key])
            return f"{stem} {value[:6]}" if stem in shared else stem
        return "" if value in own else value[:6]
    if value is None:
        return ""
    return f"{value} steps" if _short(key) == STEPS else f"{_short(key)}={value}"


def _short(key: str) -> str:
    return key.rpartition(".")[2]


def _flat(settings: Any, prefix: str = "") -> dict[str, Any]:
    """Nested settings as ``outer.inner``; lists and what else there is are values."""
    if not isinstance(settings, Mapping):
        return {}
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found
