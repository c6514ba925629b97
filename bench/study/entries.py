"""The searches of a configuration, one entry for each point of its curves."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from tts.errors import SettingError
from tts.registry import SEARCHES
from tts.search.base import Search
from tts.settings import canonical, nearest


@dataclass(frozen=True)
class Entry:
    """A search with one set of settings, and the setting that grows along its curve."""

    name: str
    algorithm: Search
    budget: str | None


def entries_of(given: str | dict[str, Any]) -> list[Entry]:
    """The points of one configured search: one for each value of its budget.

    Raises:
        SettingError: its budget is none.
    """
    values = {"name": given} if isinstance(given, str) else dict(given)
    budget = values.pop("budget", None)
    name = values.get("name")
    if budget is None or name is None:
        return [_entry(values, None)]
    default = SEARCHES.get(name).budget
    if isinstance(budget, list) and default is not None:
        budget = {default: budget}
    if not isinstance(budget, dict) or len(budget) != 1:
        raise SettingError(f"search {name}: budget names one setting that grows, as 'budget: {{N: [1, 2, 4]}}'")
    [(setting, points)] = budget.items()
    known = [field.alias or key for key, field in SEARCHES.get(name).model_fields.items()]
    if setting not in known:
        raise SettingError(f"search {name}: budget '{setting}' is not one of its settings; {nearest(setting, known)}")
    if not isinstance(points, list) or not points:
        raise SettingError(f"search {name}: budget {setting} needs a list of at least one value")
    if setting in values:
        raise SettingError(f"search {name}: '{setting}' is set both as a value and as the budget")
    return [_entry({**values, setting: point}, setting) for point in points]


def _entry(values: dict[str, Any], budget: str | None) -> Entry:
    name, algorithm = SEARCHES.make(values)
    if budget is not None and not _is_number(algorithm.model_dump(by_alias=True)[budget]):
        raise SettingError(f"search {name}: budget '{budget}' is not a number")
    return Entry(name, algorithm, budget)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def distinct(found: list[Entry]) -> list[Entry]:
    """The same entries.

    Raises:
        SettingError: one appears twice.
    """
    times = Counter((entry.name, canonical(entry.algorithm.record())) for entry in found)
    for (name, settings), count in times.items():
        if count > 1:
            raise SettingError(f"searches: {name} with the settings {settings} appears twice")
    return found
