"""Play a sample of a run's recipes again, and tell wrong rows from the differences between devices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pyarrow.dataset as ds

from bench.run.replay import segment_of, stored_study
from bench.store import reader as store
from bench.store.images import decoded, image_sha256, kept
from bench.store.schema import SCORE
from bench.store.storage import Output, Storage, place
from bench.study.study import Study
from bench.workers.pool import LocalPool
from tts.engine.requests import EvalRequest, EvalResult
from tts.errors import DataError, EngineError

PIXEL_LEVELS = 2.0
"""Mean difference of 8-bit levels up to which an image of another device is the same picture."""

SPREADS = 0.25
"""Difference of a reward, in standard deviations over the run, up to which another device may have made it."""


class Verdict(StrEnum):
    """What a trial that is played again says of its row."""

    SAME = "same"
    """Pixels and rewards are the stored ones."""
    CLOSE = "close"
    """They differ as those of two kinds of devices do, and the row is of another device."""
    WRONG = "wrong"
    """They differ by more, or on the device that the row is of."""


@dataclass(frozen=True)
class Check:
    """A trial that was played again.

    Args:
        trial: its identity.
        device: that of the row.
        verdict: what comes of it.
        pixels: whether the pixels are the stored ones; None: neither image nor digest is stored.
        levels: mean absolute difference of 8-bit levels; None: no image is stored.
        rewards: differences, new less stored, in units of the reward; a value that is missing on one side only is NaN.
    """

    trial: str
    device: str
    verdict: Verdict
    pixels: bool | None
    levels: float | None
    rewards: dict[str, float]


def verify(
    output: Output,
    sample: int,
    seed: int = 0,
    trust: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Check]:
    """Replay trials of a run that are drawn at random, on an engine of this process.

    Args:
        output: the run.
        sample: how many trials; all finished ones where there are fewer.
        seed: of the draw.
        trust: the manifest may name code, files and addresses.
        progress: told how many of how many are done.

    Yields:
        A check a trial, in the order of their identities.

    Raises:
        DataError: no run, no finished trial, or a row that is no trajectory.
        UntrustedError: the manifest names code, files or addresses, and ``trust`` is not given.
        SettingError: the model or the rewards are not those of the run any more.
        EngineError: a reward failed.
    """
    where = place(output)
    rows, study = _drawn(where, sample, seed), stored_study(where, trust)
    segments = [segment_of(row, study.plan.steps, where) for row in rows]
    spreads = _spreads(where, list(study.rewards))
    pool = LocalPool(study)
    try:
        device = pool.describe()[0]
        pool.submit(0, [EvalRequest(ticket, segment) for ticket, segment in enumerate(segments)], [])
        found: dict[int, EvalResult] = {}
        while len(found) < len(rows):
            found |= {outcome.ticket: outcome for outcome in pool.wait()[0].outcomes}
            progress(len(found), len(rows))
    finally:
        pool.close()
    for ticket, row in enumerate(rows):
        yield _check(study, row, found[ticket], where, device, spreads)


def _drawn(where: Storage, sample: int, seed: int) -> list[dict[str, Any]]:
    light = store.read(where, ["trial", "error"]).to_pylist()
    finished = sorted({str(row["trial"]) for row in light if row["error"] is None})
    if not finished:
        raise DataError(f"{where}: no trial is finished without an error")
    places = np.random.default_rng(seed).permutation(len(finished))[:sample]
    chosen = sorted(finished[place] for place in places)
    found = store.table(where, rows=ds.field("trial").isin(chosen))
    assert found is not None  # it has just been read
    rows = {row["trial"]: row for row in found.to_pylist() if row["error"] is None}
    return [rows[trial] for trial in chosen]


def _spreads(where: Storage, rewards: list[str]) -> dict[str, float]:
    """The standard deviation of each reward over the run's final images."""
    names = [f"{SCORE}{name}" for name in rewards if f"{SCORE}{name}" in store.columns(where)]
    scores = store.read(where, ["trial", *names]).to_pandas()
    return {name.removeprefix(SCORE): float(scores[name].std(ddof=0)) for name in names}


def _check(
    study: Study,
    row: dict[str, Any],
    outcome: EvalResult,
    where: Storage,
    device: str | None,
    spreads: dict[str, float],
) -> Check:
    for error in outcome.errors.values():
        raise EngineError(f"{where}: trial {row['trial']}: {error}")
    assert outcome.image is not None  # the segment asked for everything
    stored = kept(where, row)
    digests = {image_sha256(stored), row["image_sha256"]} - {None}
    pixels = digests == {image_sha256(outcome.image)} if digests else None
    levels = None if stored is None else _levels(stored, outcome.image)
    rewards = {name: _difference(outcome.scores.get(name), row.get(f"{SCORE}{name}")) for name in study.rewards}
    same = pixels is not False and not any(rewards.values())
    near = (levels is None or levels <= PIXEL_LEVELS) and all(
        abs(difference) <= SPREADS * spreads.get(name, 0.0) for name, difference in rewards.items()
    )
    close = near and row["device"] != device
    verdict = Verdict.SAME if same else Verdict.CLOSE if close else Verdict.WRONG
    return Check(row["trial"], str(row["device"]), verdict, pixels, levels, rewards)


def _levels(stored: bytes, made: bytes) -> float:
    """Mean absolute difference of two images' 8-bit levels; infinite where one is damaged or of another size."""
    try:
        one, other = (decoded(image).astype(np.int16) for image in (stored, made))
    except OSError:
        return float("inf")
    return float(np.abs(one - other).mean()) if one.shape == other.shape else float("inf")


def _difference(new: float | None, stored: float | None) -> float:
    if new is None or stored is None:
        return 0.0 if new is stored else float("nan")
    return new - stored
