"""Make a trial's image again from its row: a trajectory is its noise."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from bench.store import reader as store
from bench.store.images import image_sha256, kept
from bench.store.storage import Output, place
from bench.study.config import RunConfig
from bench.study.study import Study
from bench.study.trust import refuse_foreign
from bench.workers.pool import LocalPool
from tts.engine.requests import EvalRequest, EvalResult
from tts.errors import DataError, EngineError, SettingError
from tts.noise import Noise
from tts.recipe import end, fault, from_record
from tts.search.segment import ALL, Segment
from tts.settings import parse


@dataclass(frozen=True)
class Replay:
    """A trial's row, and the image that its recipe gives today."""

    row: dict[str, Any]
    scores: dict[str, float | None]
    image: bytes

    @property
    def identical(self) -> bool | None:
        """Whether the image has the pixels of the stored one, or of the one whose digest is; None if there is neither.

        Where both are stored, both must agree.
        """
        stored = {image_sha256(self.row["image"]), self.row["image_sha256"]} - {None}
        return stored == {image_sha256(self.image)} if stored else None


def replay(folder: Output, trial: str, trust: bool = False) -> Replay:
    """Run the recipe of a stored trial.

    Args:
        folder: of a run.
        trial: the trial's identity, or its first digits.
        trust: the manifest may name code, files and addresses.

    Raises:
        DataError: no such run or trial.
        SettingError: the model or the rewards are not those of the run any more.
    """
    where = place(folder)
    row, study = store.find(where, trial), stored_study(where, trust)
    if row["error"] is not None:
        raise DataError(f"{where}: trial {row['trial']} has failed: {row['error']}")
    row["image"] = kept(where, row)
    outcome = evaluate(study, segment_of(row, study.plan.steps, where))
    assert outcome.image is not None  # the segment asked for everything
    return Replay(row, outcome.scores, outcome.image)


def segment_of(row: dict[str, Any], steps: int, folder: Output) -> Segment:
    """The whole trajectory of a row, which is data from anywhere.

    Raises:
        DataError: it is no trajectory of so many steps.
    """
    where = f"{folder}: the row of trial {row['trial']}"
    try:
        actions = [from_record(record) for record in row["noises"] or []]
        condition = json.loads(row["condition"])
    except (TypeError, ValueError, RecursionError):
        raise DataError(f"{where} has a recipe or a condition that cannot be read") from None
    first, *others = actions or [None]
    if not isinstance(first, Noise):
        raise DataError(f"{where} has no initial noise")
    if fault(0, others, steps) or end(0, others) != steps:
        raise DataError(f"{where} has no recipe of {steps} steps")
    return Segment(first, tuple(others), condition, ALL)


def stored_study(folder: Output, trust: bool = False, simulated: bool = False) -> Study:
    """The study of a run, as its manifest tells it.

    Args:
        folder: of the run.
        trust: the manifest may name code, files and addresses.
        simulated: its engines may be.

    Raises:
        UntrustedError: the manifest names code, files or addresses, and ``trust`` is not given.
        SettingError: weights, settings or code have changed since, or no images can be drawn.
    """
    manifest = store.read_manifest(folder)
    if not trust:
        refuse_foreign(manifest["config"], str(folder))
    study = Study(_at_home(parse(RunConfig, manifest["config"], str(folder)), trust), searching=False)
    if study.digest() != manifest["digest"]:
        raise SettingError(f"{folder}: was made with other weights or by another version than this one")
    study.check_draws(simulated)
    return study


def _at_home(config: RunConfig, trust: bool) -> RunConfig:
    """A manifest's configuration for this machine: its folders are not opened; nor is, without trust, its cluster."""
    changes: dict[str, Any] = {} if config.engines.prompts == "memory" else {"prompts": "cache"}
    if not trust:
        changes |= {"address": "local", "stage": None}
    return config.model_copy(update={"engines": config.engines.model_copy(update=changes)})


def evaluate(study: Study, segment: Segment) -> EvalResult:
    """One segment on an engine of its own in this process.

    Raises:
        EngineError: a reward failed.
    """
    pool = LocalPool(study)
    try:
        pool.submit(0, [EvalRequest(0, segment)], [])
        found: list[EvalResult] = []
        while not found:  # a wait ends after a while, whatever there is
            found = pool.wait()[0].outcomes
        [outcome] = found
    finally:
        pool.close()
    for error in outcome.errors.values():
        raise EngineError(error)
    return outcome
