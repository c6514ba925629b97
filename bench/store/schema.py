"""The columns of a trial's row, and of its evaluations'."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from tts.recipe import Action, to_record

SCHEMA_VERSION = 4
"""Of the trials' columns; a reader takes columns that a part of an older version lacks as null."""

SCORE = "score_"
"""Begins the names of columns of scores; a reward's name follows."""

MOVE = pa.struct(
    [
        ("seed", pa.int64()),
        ("radius", pa.float64()),
        ("kind", pa.string()),
        ("seeds", pa.list_(pa.int64())),
        ("values", pa.list_(pa.float64())),
    ]
)
"""A move of a noise (:mod:`tts.moves`); without a kind it is a step along the direction of ``seed``."""

NOISE = pa.struct([("seed", pa.int64()), ("moves", pa.list_(MOVE)), ("to", pa.int32())])


@dataclass(frozen=True)
class Field:
    """One column.

    Args:
        name, type: as they stand in the file.
        doc: what it is, then ``; null: `` and what null means, where it means anything.
        since: the version of its table that brought it.
    """

    name: str
    type: pa.DataType
    doc: str
    since: int = 1

    @property
    def arrow(self) -> pa.Field:
        """The column with its documentation in the metadata."""
        return pa.field(self.name, self.type, metadata={"doc": self.doc})


COLUMNS: tuple[Field, ...] = (
    Field("trial", pa.string(), "identity: a hash of everything that changes the result, 32 hex digits"),
    Field("search", pa.string(), "registered name of the search"),
    Field("settings", pa.string(), "all of the search's settings, JSON"),
    Field("budget", pa.string(), "the setting that grows along the curve; null: none"),
    Field("budget_value", pa.float64(), "its value"),
    Field("condition", pa.string(), "class index or prompt, JSON"),
    Field("label", pa.string(), "the condition as people read it"),
    Field("seed", pa.int64(), "index of the problem's seed"),
    Field("problem_seed", pa.int64(), "names all randomness of the problem"),
    Field("reward", pa.string(), "the reward searched on"),
    Field("value", pa.float64(), "that reward of the final 8-bit image; null: could not be scored"),
    Field("nfe", pa.int64(), "denoiser forwards spent"),
    Field("decodes", pa.int64(), "images decoded"),
    Field("reward_calls", pa.int64(), "rewards computed"),
    Field("device_seconds", pa.float64(), "share of the engines' time; differs between two runs"),
    Field(
        "wall_seconds", pa.float64(), "from the trial's start to its end, beside others; differs between two runs", 3
    ),
    Field("shared_nfe", pa.int64(), "of nfe, forwards computed once for several trials; differs between two runs", 3),
    Field("device", pa.string(), "the kind of device that computed it; several are joined by ' + '", 2),
    Field(
        "samples",
        pa.list_(pa.float64()),
        "best-of-N: the reward of each of its N final images; null: another search",
        3,
    ),
    Field(
        "noises",
        pa.list_(NOISE),
        "recipe: the initial noise, then an action a step (or, with 'to', back to that one); null: no noise",
    ),
    Field("image", pa.binary(), "the final image, PNG; null: not stored, or in a file of its own"),
    Field("image_file", pa.string(), "the final image's file, from the run's folder on; null: none", 2),
    Field("error", pa.string(), "why the trial has no result; null: it has one", 2),
    Field("image_sha256", pa.string(), "SHA-256 of the final image's pixels, RGB bytes row by row; null: no image", 4),
    Field("recipe_hash", pa.string(), "hash of noises, 32 hex digits: equal for equal recipes; null: no recipe", 4),
)

TRACE_VERSION = 2
"""Of the evaluations' columns. Version 1 knows noises that are moved along directions, and no way back."""

EVALUATION_KINDS = ("global", "local", "back", "none")

EVALUATION_COLUMNS: tuple[Field, ...] = (
    Field("trial", pa.string(), "identity of the trial"),
    Field("round", pa.int32(), "index of the list of segments that the search asked for, from 0"),
    Field("candidate", pa.int32(), "place in that list, from 0"),
    Field("first", pa.int32(), "steps done before the segment"),
    Field("stop", pa.int32(), "steps done after it"),
    Field(
        "kind",
        pa.string(),
        "'global': a fresh noise, 'local': a moved one, 'back': back by a noise, 'none': no noise",
    ),
    Field("noise", NOISE, "the initial noise if it is moved, else the first action with a noise; null: there is none"),
    Field(
        "reward", pa.float64(), "the searched reward of the predicted (after the last step: final) image; null: none"
    ),
    Field("chosen", pa.bool_(), "whether a later segment goes on from its state, or it is the result"),
    Field("best", pa.float64(), "best reward of the trial up to and with this evaluation; null: none yet"),
    Field("nfe", pa.int64(), "denoiser forwards of this evaluation"),
    Field("nfe_so_far", pa.int64(), "denoiser forwards of the trial up to and with this evaluation"),
)

TRACE = pa.schema(
    [column.arrow for column in EVALUATION_COLUMNS],
    metadata={"schema_version": str(TRACE_VERSION)},
)
"""The columns of a run's trace."""

TIMED = ("device_seconds", "wall_seconds", "shared_nfe", "device")
"""Columns that differ between two runs of the same trial."""


def schema(rewards: Iterable[str]) -> pa.Schema:
    """The columns of a run: :data:`COLUMNS` and ``score_<reward>`` for each reward, documented in the metadata."""
    fields = [column.arrow for column in (*COLUMNS, *score_columns(rewards))]
    return pa.schema(fields, metadata={"schema_version": str(SCHEMA_VERSION)})


def score_columns(rewards: Iterable[str]) -> list[Field]:
    """The columns that final rewards have."""
    return [Field(f"{SCORE}{name}", pa.float64(), f"{name} of the final image") for name in rewards]


def of_row(field: pa.Field) -> pa.Field:
    """A column of a part of any version with today's type; recipes, and columns that are not known, as they are."""
    if field.name.startswith(SCORE):
        return field.with_type(pa.float64())
    types = {column.name: column.type for column in COLUMNS if column.name != "noises"}
    return field.with_type(types.get(field.name, field.type))


def recipe_column(noises: Sequence[Action]) -> list[dict[str, Any] | None]:
    """The recipe of a whole trajectory, initial noise first."""
    return [to_record(action) for action in noises]


def known(names: Iterable[str]) -> list[str]:
    """Those columns that a run has: what else stands in a foreign part means nothing to a statistic."""
    ours = {column.name for column in COLUMNS}
    return [name for name in names if name in ours or name.startswith(SCORE)]


def without_images(names: Iterable[str]) -> list[str]:
    """All columns but the one that makes a large run too large to be read whole."""
    return [name for name in names if name != "image"]
