"""Whether a gain is real: other rewards' opinion, diversity, distance to real images, and promises that were not kept.

A search that finds what its reward overrates raises this reward more than others that should agree with it, makes the
images of one condition alike, and moves away from real images.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.statistics.curves import curve_labels, label
from bench.statistics.intervals import estimates
from bench.statistics.observations import POINT, PROBLEM
from bench.store.schema import SCORE
from tts.training.frechet import Moments, frechet_distance, moments

NAMED = ["reward", "search", "curve", "budget", "budget_value", "settings"]
MATRIX = [*NAMED, "scored_on", "held_out", "n", "mean", "naive", "naive_std", "gain", "low", "high"]
DIVERSITY = [*NAMED, "images", "conditions", "pairs", "distance", "low", "high", "relative"]
FRECHET = [*NAMED, "n", "distance", "floor", "warning"]
GAP = ["n", "predicted", "final", "gap", "low", "high", "size"]
FLOOR_DRAWS = 4
NAIVE = " of naive"
"""Ends the names of naive's scores; no reward's name, which is an identifier, ends so."""


def score_matrix(trials: pd.DataFrame) -> pd.DataFrame:
    """What was searched on against what judges it.

    Args:
        trials: one row per trial, as the store reads them.

    Returns:
        The columns :data:`MATRIX`, one row for each point and each reward that scored its images (``scored_on``;
        ``held_out``: no trial was searched on it). ``n`` problems have a score, ``mean`` is theirs. ``gain`` is the
        mean difference to naive on the problems that both have, in standard deviations of naive over its problems
        (``naive_std``), with its 95 % interval; ``naive`` is naive's mean on the same problems. NaN: cannot be said.
    """
    trials = _finished(trials)
    names = [str(name) for name in trials.columns if str(name).startswith(SCORE)]
    plain = trials[trials["search"] == "naive"].drop_duplicates(PROBLEM)[[*PROBLEM, *names]]
    groups = [(point, group.merge(plain, "left", PROBLEM, suffixes=("", NAIVE))) for point, group in _points(trials)]
    cells = [(point, name, group) for point, group in groups for name in names if group[name].notna().any()]
    gains = [_gains(group, name, plain[name].std()) for _, name, group in cells]
    intervals = estimates(gains)
    searched = set(trials["reward"])
    rows = [
        {
            **point,
            "scored_on": name.removeprefix(SCORE),
            "held_out": name.removeprefix(SCORE) not in searched,
            "n": int(group[name].notna().sum()),
            "mean": float(group[name].mean()),
            "naive": float(group.loc[group[name].notna(), name + NAIVE].mean()),
            "naive_std": float(plain[name].std()),
            "gain": interval.mean,
            "low": interval.low,
            "high": interval.high,
        }
        for (point, name, group), interval in zip(cells, intervals, strict=True)
    ]
    return pd.DataFrame(rows, columns=MATRIX)


def diversity(trials: pd.DataFrame, features: NDArray[Any]) -> pd.DataFrame:
    """How much images of the same condition differ from seed to seed: the mean of 1 - cosine over pairs.

    The cosines of all pairs of n unit vectors add up to ``(|sum|^2 - n) / 2``, so that no pair is formed.

    Args:
        trials: one row per trial.
        features: ``[N, F]``, in their order; a row of NaN: no image.

    Returns:
        The columns :data:`DIVERSITY`, one row for each point: ``images``, ``conditions`` with two images or more, their
        ``pairs``, the mean ``distance`` over conditions with its 95 % interval over conditions, and ``relative``, the
        distance over that of naive's images. NaN where every condition has one image only.
    """
    trials = _with_image(trials, features)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True).clip(1e-12)
    rows, samples = [], []
    for point, group in _points(trials):
        counts, distances = _distances(unit, group)
        several = counts > 1
        samples.append(distances[several])
        pairs = int((counts * (counts - 1) // 2).sum())
        rows.append({**point, "images": len(group), "conditions": int(several.sum()), "pairs": pairs})
    for row, interval in zip(rows, estimates(samples), strict=True):
        row.update(distance=interval.mean, low=interval.low, high=interval.high)
    found = pd.DataFrame(rows, columns=DIVERSITY)
    return found.assign(relative=found["distance"] / found.loc[found["search"] == "naive", "distance"].mean())


def frechet(trials: pd.DataFrame, features: NDArray[Any], reference: Moments) -> pd.DataFrame:
    """The Frechet distance of each point's images to real ones.

    Args:
        trials: one row per trial.
        features: ``[N, F]``, in their order; a row of NaN: no image.
        reference: of the same features of real images.

    Returns:
        The columns :data:`FRECHET`, one row for each point: the ``n`` images that have features, the squared
        ``distance``, the ``floor`` (the mean distance of n draws from the reference itself: the distance is never
        about 0 with few images) and a ``warning``, without which no distance of fewer than 2 F images may be shown.
    """
    trials = _with_image(trials, features)
    groups = list(_points(trials))
    floors = {n: _floor(n, reference) for n in {len(group) for _, group in groups}}
    rows = [
        {
            **point,
            "n": len(group),
            "distance": _distance(features[group["place"].to_numpy()], reference),
            "floor": floors[len(group)],
            "warning": _warning(len(group), len(reference.mean)),
        }
        for point, group in groups
    ]
    return pd.DataFrame(rows, columns=FRECHET)


def prediction_gap(trials: pd.DataFrame, evaluations: pd.DataFrame) -> pd.DataFrame:
    """How much of the promised reward is not kept: the last predicted image's reward less the final image's.

    Args:
        trials: one row per trial.
        evaluations: of them, as :func:`bench.store.trace.read` gives them.

    Returns:
        :data:`NAMED`, then :data:`GAP`, one row for each point whose search scores predicted images: ``n`` trials,
        the mean reward of the image ``predicted`` where the trial last went on from a scored evaluation before its
        end, the mean of the ``final`` images, the mean ``gap`` (predicted less final) with its 95 % interval over
        trials, and its mean ``size`` without sign.
    """
    predictions = _predictions(trials, evaluations).drop_duplicates("trial", keep="last")
    return _gap_table(trials, predictions, [])


def gap_by_step(trials: pd.DataFrame, evaluations: pd.DataFrame) -> pd.DataFrame:
    """:func:`prediction_gap` for the images that were chosen after each step.

    Returns:
        :data:`NAMED`, ``stop`` (steps done when the image was predicted), then :data:`GAP`; of a trial that chose
        several times at a step the last choice counts.
    """
    predictions = _predictions(trials, evaluations).drop_duplicates(["trial", "stop"], keep="last")
    return _gap_table(trials, predictions, ["stop"])


def _finished(trials: pd.DataFrame) -> pd.DataFrame:
    """Without failed trials, each once on each curve."""
    if "error" in trials:
        trials = trials[trials["error"].isna()]
    return trials.drop_duplicates(["trial", "budget"])


def _points(trials: pd.DataFrame, also: Iterable[str] = ()) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """The trials of each point of each curve, with what names it."""
    labels, keys = curve_labels(trials), [*POINT, *also]
    for key, group in trials.groupby(keys, dropna=False):
        point: dict[str, Any] = dict(zip(keys, key, strict=True))
        yield {**point, "curve": label(labels, point)}, group


def _gains(group: pd.DataFrame, name: str, unit: float) -> NDArray[np.float64]:
    """Differences to naive in its standard deviations; none where it has none."""
    found = (group.sort_values(PROBLEM)[name] - group.sort_values(PROBLEM)[name + NAIVE]).dropna()
    return found.to_numpy(float) / unit if unit > 0 else np.empty(0)


def _with_image(trials: pd.DataFrame, features: NDArray[Any]) -> pd.DataFrame:
    """The finished trials that have features, each with its ``place`` in them."""
    found = _finished(trials.assign(place=np.arange(len(trials))))
    seen: NDArray[np.bool_] = np.isfinite(features[found["place"].to_numpy()]).all(axis=1)
    return found.loc[seen]


def _distances(unit: NDArray[Any], group: pd.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The number of images of each condition of a point, and the mean distance of their pairs (NaN: no pair)."""
    codes, _ = pd.factorize(group["condition"], sort=True)
    order = np.argsort(codes, kind="stable")
    counts = np.bincount(codes)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    sums = np.add.reduceat(unit[group["place"].to_numpy()[order]], starts, axis=0, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosines = ((sums**2).sum(axis=1) - counts) / (counts * (counts - 1))
    return counts, 1 - cosines


def _distance(features: NDArray[Any], reference: Moments) -> float:
    return frechet_distance(moments(features), reference) if len(features) > 1 else np.nan


def _floor(n: int, reference: Moments) -> float:
    """The mean distance of n draws from a normal distribution to itself."""
    if n < 2:
        return np.nan
    values, vectors = np.linalg.eigh(reference.covariance)
    axes = vectors * np.sqrt(values.clip(0))
    generator = np.random.default_rng(0)
    draws = (reference.mean + generator.standard_normal((n, len(values))) @ axes.T for _ in range(FLOOR_DRAWS))
    return float(np.mean([frechet_distance(moments(draw), reference) for draw in draws]))


def _warning(n: int, size: int) -> str | None:
    if n >= 2 * size:
        return None
    found = f"{n} images are too few for {size} features: the distance is too large"
    return f"{found}; compare it with others of the same n only"


def _predictions(trials: pd.DataFrame, evaluations: pd.DataFrame) -> pd.DataFrame:
    """Chosen and scored evaluations before the trajectory's end, by step, then round, the best of a round last."""
    finished = _finished(trials).drop_duplicates("trial")
    mine = evaluations[evaluations["trial"].isin(finished["trial"])]
    early = mine["stop"] < mine.groupby("trial")["stop"].transform("max")
    chosen = mine[early & mine["chosen"] & mine["reward"].notna()]
    return chosen.sort_values(["trial", "stop", "round", "reward"], ignore_index=True)


def _gap_table(trials: pd.DataFrame, predictions: pd.DataFrame, also: list[str]) -> pd.DataFrame:
    promised = predictions[["trial", *also, "reward"]].rename(columns={"reward": "predicted"})
    joined = _finished(trials).merge(promised, on="trial").dropna(subset=["value"])
    joined = joined.assign(gap=joined["predicted"] - joined["value"]).sort_values([*PROBLEM, "trial"])
    groups = list(_points(joined, also))
    intervals = estimates([group["gap"].to_numpy(float) for _, group in groups])
    rows = [
        {
            **point,
            "n": interval.n,
            "predicted": float(group["predicted"].mean()),
            "final": float(group["value"].mean()),
            "gap": interval.mean,
            "low": interval.low,
            "high": interval.high,
            "size": float(group["gap"].abs().mean()),
        }
        for (point, group), interval in zip(groups, intervals, strict=True)
    ]
    return pd.DataFrame(rows, columns=[*NAMED, *also, *GAP])
