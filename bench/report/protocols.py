"""Published protocols as runs state them in their manifests, and their numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from bench.statistics.protocol_numbers import protocol_numbers
from bench.store.schema import SCORE
from bench.study.published import EVERY, PROTOCOLS, Published
from tts.settings import canonical


class _Stated(BaseModel):
    """What a manifest says; data from anywhere."""

    model_config = ConfigDict(extra="ignore")

    name: str
    statement: str
    differences: list[str] = []
    groups: dict[str, list[int]] = {}


@dataclass(frozen=True)
class Stated:
    """A run's protocol.

    Args:
        protocol: the published one.
        statement: which it is, or what differs.
        same: whether nothing differs.
        scorers: names of the scores that its number is of, by group.
        groups: of each condition, as the trials name it.
    """

    protocol: Published
    statement: str
    same: bool
    scorers: dict[str, str]
    groups: dict[str, str]

    def numbers(self, trials: pd.DataFrame) -> pd.DataFrame:
        """As :func:`protocol_numbers` gives them; where the protocol has no scorer, of each score of the run."""
        found = self.protocol
        if found.scorers is not None:
            return protocol_numbers(trials, self.groups, self.scorers, found.number, found.scale)
        names = sorted(name.removeprefix(SCORE) for name in trials.columns if name.startswith(SCORE))
        parts = [protocol_numbers(trials, self.groups, {EVERY: name}, found.number, found.scale) for name in names]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def stated(manifest: dict[str, Any]) -> Stated | None:
    """The protocol that a run names; None: it names none, or one that is not known here."""
    try:
        said = _Stated.model_validate(manifest.get("protocol"))
    except ValidationError:
        return None
    found = PROTOCOLS.get(said.name)
    if found is None:
        return None
    drawn = (manifest.get("resolved") or {}).get("conditions")
    conditions = drawn if isinstance(drawn, list) else []
    pairs = [(place, group) for group, places in said.groups.items() for place in places]
    groups = {canonical(conditions[place]): group for place, group in pairs if 0 <= place < len(conditions)}
    return Stated(found, said.statement, not said.differences, dict(found.scorers or {}), groups)
