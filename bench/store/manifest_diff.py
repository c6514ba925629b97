"""Find the settings, versions and devices in which two runs differ, by their manifests."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, NamedTuple

from tts.settings import canonical

WHERE = {"output", "shard"}
"""Keys of a configuration that say where a run is stored, not what it is."""

PROBLEMS = {"conditions", "seeds", "random"}
"""Keys of what a study resolves to that are settings of its problems."""

TOLD, LETTERS = 3, 60
"""Most differences that a message names, and most characters of a value."""


class Difference(NamedTuple):
    """A setting in which two runs differ.

    Args:
        name: with dots, as ``--set`` takes it; or versions.NAME, git.commit, devices, ...
        a, b: its value in each; of a list, the entries that the other lacks; None: it has none.
    """

    name: str
    a: Any
    b: Any


def differences(a: dict[str, Any], b: dict[str, Any]) -> list[Difference]:
    """The settings in which two manifests differ: first those of the study, then how, where and by what it was run."""
    left, right = _settings(a), _settings(b)
    found = [_difference(name, left.get(name), right.get(name)) for name in dict.fromkeys([*left, *right])]
    return [difference for difference in found if difference is not None]


def told(theirs: dict[str, Any], ours: dict[str, Any]) -> str:
    """What differs between a stored study and one that is to be run, in words; '' if nothing is found.

    Args:
        theirs, ours: what each resolves to, as a manifest has it.
    """
    read = json.loads(canonical(ours))  # lists as lists
    found = differences({"config": {}, "resolved": theirs}, {"config": {}, "resolved": read})
    words = [f"{_key(one.name)} ({_short(one.a)} there, {_short(one.b)} here)" for one in found]
    more = f" and {len(words) - TOLD} more" if len(words) > TOLD else ""
    return ", ".join(words[:TOLD]) + more


def _key(name: str) -> str:
    """A setting as a configuration names it."""
    first, _, rest = name.partition(".")
    return f"problems.{name}" if first in PROBLEMS else f"engines.{rest}" if first == "numerics" else name


def _short(value: Any) -> str:
    text = canonical(value)
    return text if len(text) <= LETTERS else f"{text[:LETTERS]}..."


def _settings(manifest: dict[str, Any]) -> dict[str, Any]:
    """All that a manifest says of a run but its time and its place, flat."""
    resolved = manifest.get("resolved", {})
    numerics = resolved.get("numerics", {})
    config = {
        key: value
        for key, value in manifest["config"].items()
        if key not in resolved and key not in WHERE and key not in ("problems", "engines")
    }
    engines = {key: value for key, value in manifest["config"].get("engines", {}).items() if key not in numerics}
    others = {key: manifest.get(key) for key in ("schema_version", "devices", "versions", "git", "flops", "levels")}
    return _flat({**resolved, **config, "engines": engines, **others})


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by names with dots."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        flat |= _flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return flat


def _difference(name: str, a: Any, b: Any) -> Difference | None:
    if a == b:
        return None
    if isinstance(a, list) and isinstance(b, list):
        a, b = _lacking(a, b), _lacking(b, a)
        return Difference(name, a, b) if a or b else None
    return Difference(name, a, b)


def _lacking(one: list[Any], other: list[Any]) -> list[Any]:
    """The entries of one list that another lacks, as often as it lacks them."""
    left = Counter(map(canonical, other))
    found = []
    for entry in one:
        text = canonical(entry)
        if left[text]:
            left[text] -= 1
        else:
            found.append(entry)
    return found
