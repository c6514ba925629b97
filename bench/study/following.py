"""Which published protocol a run follows, and which of its settings differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bench.study.published import EVERY, Published, group_of, prompts_digest, published
from tts.plan import Condition
from tts.rewards.base import RewardSettings


@dataclass(frozen=True)
class Following:
    """A run beside a protocol.

    Args:
        name: of the protocol.
        differences: what is not as published, a few words each.
        groups: the conditions of each group, as their places among the run's.
    """

    name: str
    differences: tuple[str, ...]
    groups: dict[str, list[int]]

    @property
    def statement(self) -> str:
        """``GenEval``, or ``GenEval, but 2 images a prompt``."""
        title = published(self.name).title
        return f"{title}, but {'; '.join(self.differences)}" if self.differences else title

    def record(self) -> dict[str, Any]:
        """The plain values that a manifest keeps."""
        found = {"name": self.name, "statement": self.statement, "differences": list(self.differences)}
        return {**found, "groups": self.groups}


def following(
    name: str,
    conditions: list[Condition],
    groups: dict[str, str],
    seeds: int,
    random: int | None,
    rewards: dict[str, RewardSettings],
) -> Following:
    """How a run and a protocol agree.

    Args:
        conditions: the run's, in its order.
        groups: of each prompt, by the protocol's column.
        seeds: of each condition.
        random: problems drawn at random in place of each condition with each seed; None: they are not.
        rewards: that score the final images.
    """
    found = published(name)
    differences = [
        *_prompts(found, conditions),
        *_images(found, seeds, random),
        *_scorers(found, rewards),
        *_groups(found, conditions, groups),
    ]
    places: dict[str, list[int]] = {}
    for place, condition in enumerate(conditions):
        if (text := str(condition).strip()) in groups:
            places.setdefault(group_of(groups[text]), []).append(place)
    return Following(name, tuple(differences), places)


def _prompts(found: Published, conditions: list[Condition]) -> list[str]:
    number = len(conditions)
    if number != found.prompts:
        return [f"{number:,} prompts in place of {found.prompts:,}"]
    if found.digests and prompts_digest(map(str, conditions)) not in found.digests:
        return ["other prompts than the published ones"]
    return []


def _images(found: Published, seeds: int, random: int | None) -> list[str]:
    if random is not None:
        return [f"{random:,} images of prompts drawn at random"]
    return [] if seeds == found.images else [f"{seeds} image{'' if seeds == 1 else 's'} a prompt"]


def _scorers(found: Published, rewards: dict[str, RewardSettings]) -> list[str]:
    """Scorers that are missing, or set otherwise; by the names that they have in the run."""
    wanted = dict.fromkeys((found.scorers or {}).values())
    missing = [f"not scored by {name}" for name in wanted if name not in rewards]
    other = []
    for name in wanted:
        settings = rewards[name].record() if name in rewards else {}
        for key, value in found.settings.get(name, {}).items():
            if key in settings and settings[key] != value:
                other.append(f"{name} with {key} = {settings[key]}")
    return missing + other


def _groups(found: Published, conditions: list[Condition], groups: dict[str, str]) -> list[str]:
    """Whether the groups that a number is made of are known."""
    needed = found.number != "prompts" or (found.scorers is not None and EVERY not in found.scorers)
    if not needed or all(str(condition).strip() in groups for condition in conditions):
        return []
    return [f"its groups are not known (no column '{found.column}')"]
