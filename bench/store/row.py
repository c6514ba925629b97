"""A trial's row, from the search that ends to the Parquet part that it stands in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from bench.store.digests import recipe_hash
from bench.store.plain import storable
from bench.store.schema import SCORE, recipe_column
from bench.study.trial import Trial, text
from tts.recipe import Action

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


ACTION_BYTES, EVALUATION_BYTES = 600, 1100
"""Of memory, about, that the records of an action and of an evaluation take."""


@dataclass(frozen=True, kw_only=True)
class TrialRow:
    """All that is stored of a trial; what a field means stands in :data:`bench.store.schema.COLUMNS`.

    Args:
        scores: each reward of the final image; a column ``score_<reward>`` each.
        evaluations: rows of the trace, for a table of their own.
        features: of the final image by extractor, ``[F]``; None where an extractor gave no finite numbers.
    """

    trial: str
    search: str
    settings: str
    budget: str | None
    budget_value: float | None
    condition: str
    label: str
    seed: int
    problem_seed: int
    reward: str
    value: float | None = None
    nfe: int | None = None
    decodes: int | None = None
    reward_calls: int | None = None
    device_seconds: float | None = None
    wall_seconds: float | None = None
    shared_nfe: int | None = None
    device: str | None = None
    samples: Sequence[float | None] | None = None
    noises: Sequence[Mapping[str, Any] | None] | None = None
    image: bytes | None = None
    image_file: str | None = None
    error: str | None = None
    image_sha256: str | None = None
    recipe_hash: str | None = None
    scores: Mapping[str, float | None] = field(default_factory=dict)
    evaluations: Sequence[Mapping[str, Any]] = ()
    features: Mapping[str, NDArray[np.float32] | None] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Bytes of the image, features, recipe and evaluations, beside which the rest is small."""
        features = sum(each.nbytes for each in self.features.values() if each is not None)
        records = ACTION_BYTES * len(self.noises or ()) + EVALUATION_BYTES * len(self.evaluations)
        return len(self.image or b"") + features + records

    def record(self) -> dict[str, Any]:
        """The columns of the trials' table by their names."""
        scores = {f"{SCORE}{name}": value for name, value in self.scores.items()}
        return {name: getattr(self, name) for name in NAMES} | scores

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> TrialRow:
        """The row of :meth:`record`, or of a part of any version.

        Raises:
            TypeError: it has a column that no version has, or lacks one of the trial's own.
        """
        scores = {name.removeprefix(SCORE): value for name, value in record.items() if name.startswith(SCORE)}
        return cls(**{name: value for name, value in record.items() if not name.startswith(SCORE)}, scores=scores)


NAMES = tuple(each.name for each in fields(TrialRow) if each.name not in ("scores", "evaluations", "features"))
"""The columns that every run has."""


def identity_columns(trial: Trial, label: str) -> dict[str, Any]:
    """The columns that describe the trial itself."""
    return {
        "trial": trial.key,
        "search": trial.search,
        "settings": trial.settings,
        "budget": trial.budget,
        "budget_value": trial.budget_value,
        "condition": text(trial.condition),
        "label": label,
        "seed": trial.seed,
        "problem_seed": trial.problem_seed,
        "reward": trial.reward,
    }


def recipe_columns(noises: Sequence[Action]) -> dict[str, Any]:
    """The recipe of a whole trajectory, initial noise first, and its hash."""
    found = recipe_column(noises)
    return {"noises": found, "recipe_hash": recipe_hash(found)}


def error_row(trial: Trial, label: str, reason: str) -> TrialRow:
    """The row of a trial that has no result."""
    return TrialRow(**identity_columns(trial, label), error=storable(reason))
