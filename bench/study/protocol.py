"""How a number of a set of images is made: which problems are drawn, how often, what is quoted, by which protocol."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, StrictInt, field_validator, model_validator

from bench.study.published import published
from tts.settings import Settings

MOST_SEEDS = 10**9
"""Rows count problems in 64 bits; no run is as large."""


class Problems(Settings):
    """The problems: every condition with every seed, or conditions drawn at random."""

    conditions: Literal["all"] | list[StrictInt | str] | dict[str, Any] = Field(
        "all",
        description="class indices or names, or prompts; or {file: PATH, ...} or {imagenet: [...], ...}, "
        "see bench/study/conditions.py",
    )
    seeds: int = Field(1, ge=1, le=MOST_SEEDS, description="seeds for each condition")
    random: int | None = Field(
        None,
        ge=1,
        le=MOST_SEEDS,
        description="number of problems with random conditions and seeds of their own, instead of every "
        "condition with every seed",
    )

    @model_validator(mode="after")
    def _one_way(self) -> Problems:
        if self.random is not None and self.seeds != 1:
            raise ValueError("seeds and random go not together: random problems have a seed each")
        return self

    @property
    def last_seed(self) -> int:
        """The largest seed of any problem."""
        return (self.random or self.seeds) - 1


def with_protocol(values: dict[str, Any]) -> dict[str, Any]:
    """A configuration in which its protocol's name stands for what the protocol fixes, where nothing else is said.

    ``protocol: geneval`` is short for ``protocol: {name: geneval}``; seeds, and where the prompts are, are filled in.
    """
    given = values.get("protocol")
    protocol = {"name": given} if isinstance(given, str) else given
    if not isinstance(protocol, dict) or not isinstance(protocol.get("name"), str):
        return values
    found, problems = published(protocol["name"]), values.get("problems", {})
    if isinstance(problems, dict):
        problems = dict(problems)
        if "random" not in problems:
            problems.setdefault("seeds", found.images)
        if found.address is not None:
            problems.setdefault("conditions", {"file": found.address})
    return {**values, "protocol": protocol, "problems": problems}


class Protocol(Settings):
    """How metrics of sets are quoted, and which published protocol a run follows."""

    name: str | None = Field(None, description="published protocol: tts-bench protocol list shows them")
    repeats: int = Field(
        1, ge=1, description="sets that each point's images are divided into by their seeds, each with a value"
    )
    quote: Literal["min", "mean"] = Field(
        "min", description="which of these values is quoted: the least, as EDM's authors do, or the mean"
    )

    @field_validator("name")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        if value is not None:
            published(value)
        return value

    def set_of(self, seed: int, problems: Problems) -> int:
        """The set, from 0, that a problem's image belongs to."""
        return seed * self.repeats // (problems.last_seed + 1)
