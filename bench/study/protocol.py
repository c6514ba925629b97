"""How a number of a set of images is made: which problems are drawn, how often, and what is quoted."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, StrictInt, model_validator

from tts.settings import Settings


class Problems(Settings):
    """The problems: every condition with every seed, or conditions drawn at random."""

    conditions: Literal["all"] | list[StrictInt | str] | dict[str, Any] = Field(
        "all",
        description="class indices or names, or prompts; or {file: PATH, ...} or {imagenet: [...], ...}, "
        "see bench/study/conditions.py",
    )
    seeds: int = Field(1, ge=1, description="seeds for each condition")
    random: int | None = Field(
        None,
        ge=1,
        description="so many problems, each of a condition drawn at random and of its own seed, in place of every "
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


class Protocol(Settings):
    """How metrics of sets are quoted."""

    repeats: int = Field(
        1, ge=1, description="sets that each point's images are divided into by their seeds, each with a value"
    )
    quote: Literal["min", "mean"] = Field(
        "min", description="which of these values is quoted: the least, as EDM's authors do, or the mean"
    )

    def set_of(self, seed: int, problems: Problems) -> int:
        """The set, from 0, that a problem's image belongs to."""
        return seed * self.repeats // (problems.last_seed + 1)
