"""The columns of a trial's row, and of its evaluations'."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from bench.study.trial import Trial, text
from tts.recipe import Action, to_record

SCHEMA_VERSION = 3

MOVE = pa.struct([("seed", pa.int64()), ("radius", pa.float64())])
NOISE = pa.struct([("seed", pa.int64()), ("moves", pa.list_(MOVE)), ("to", pa.int32())])

COLUMNS: tuple[tuple[str, pa.DataType, str], ...] = (
    ("trial", pa.string(), "identity: a hash of everything that changes the result, 32 hex digits"),
    ("search", pa.string(), "registered name of the search"),
    ("settings", pa.string(), "all of the search's settings, JSON"),
    ("budget", pa.string(), "the setting that grows along the curve; null: none"),
    ("budget_value", pa.float64(), "its value"),
    ("condition", pa.string(), "class index or prompt, JSON"),
    ("label", pa.string(), "the condition as people read it"),
    ("seed", pa.int64(), "index of the problem's seed"),
    ("problem_seed", pa.int64(), "names all randomness of the problem"),
    ("reward", pa.string(), "the reward searched on"),
    ("value", pa.float64(), "that reward of the final 8-bit image; null: could not be scored"),
    ("nfe", pa.int64(), "denoiser forwards spent"),
    ("decodes", pa.int64(), "images decoded"),
    ("reward_calls", pa.int64(), "rewards computed"),
    ("device_seconds", pa.float64(), "share of the engines' time; differs between two runs"),
    ("wall_seconds", pa.float64(), "from the trial's start to its end, beside others; differs between two runs"),
    ("shared_nfe", pa.int64(), "of nfe, forwards computed once for several trials; differs between two runs"),
    ("device", pa.string(), "the kind of device that computed it; several are joined by ' + '"),
    ("samples", pa.list_(pa.float64()), "best-of-N: the reward of each of its N final images; null: another search"),
    (
        "noises",
        pa.list_(NOISE),
        "recipe: the initial noise, then an action a step (or, with 'to', back to that one); null: no noise",
    ),
    ("image", pa.binary(), "the final image, PNG; null: not stored, or in a file of its own"),
    ("image_file", pa.string(), "the final image's file, from the run's folder on; null: none"),
    ("error", pa.string(), "why the trial has no result; null: it has one"),
)

EVALUATION_COLUMNS: tuple[tuple[str, pa.DataType, str], ...] = (
    ("trial", pa.string(), "identity of the trial"),
    ("round", pa.int32(), "index of the list of segments that the search asked for, from 0"),
    ("candidate", pa.int32(), "place in that list, from 0"),
    ("first", pa.int32(), "steps done before the segment"),
    ("stop", pa.int32(), "steps done after it"),
    (
        "kind",
        pa.string(),
        "'global': a fresh noise, 'local': a moved one, 'back': back by a noise, 'none': no noise",
    ),
    ("noise", NOISE, "the first action with a noise; null: none has one"),
    ("reward", pa.float64(), "the searched reward of the predicted (after the last step: final) image; null: none"),
    ("chosen", pa.bool_(), "whether a later segment goes on from its state, or it is the result"),
    ("best", pa.float64(), "best reward of the trial up to and with this evaluation; null: none yet"),
    ("nfe", pa.int64(), "denoiser forwards of this evaluation"),
    ("nfe_so_far", pa.int64(), "denoiser forwards of the trial up to and with this evaluation"),
)

TRACE = pa.schema(
    [pa.field(name, kind, metadata={"doc": doc}) for name, kind, doc in EVALUATION_COLUMNS],
    metadata={"schema_version": "1"},
)
"""The columns of a run's trace."""

TIMED = ("device_seconds", "wall_seconds", "shared_nfe", "device")
"""Columns that differ between two runs of the same trial."""


def schema(rewards: Iterable[str]) -> pa.Schema:
    """The columns of a run: :data:`COLUMNS` and ``score_<reward>`` for each reward, documented in the metadata."""
    fields = [pa.field(name, kind, metadata={"doc": doc}) for name, kind, doc in COLUMNS]
    fields += [
        pa.field(f"score_{name}", pa.float64(), metadata={"doc": f"{name} of the final image"}) for name in rewards
    ]
    return pa.schema(fields, metadata={"schema_version": str(SCHEMA_VERSION)})


def identity_columns(trial: Trial, key: str, label: str) -> dict[str, Any]:
    """What a row says of the trial itself."""
    return {
        "trial": key,
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


def recipe_column(noises: Sequence[Action]) -> list[dict[str, Any] | None]:
    """The recipe of a whole trajectory, initial noise first."""
    return [to_record(action) for action in noises]


def error_row(trial: Trial, key: str, label: str, reason: str) -> dict[str, Any]:
    """The row of a trial that has no result."""
    return {**identity_columns(trial, key, label), "error": reason}


def without_images(names: Iterable[str]) -> list[str]:
    """All columns but the one that makes a large run too large to be read whole."""
    return [name for name in names if name != "image"]
