"""``tts-bench compare``: whether two runs of what should be the same study are the same, and if not, by how much.

Trials are paired by what they are: search, settings, reward, condition and problem seed. So two versions of the code,
two clusters or two devices can be held against each other although the identities of their trials differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.report.outcomes import outcomes
from bench.statistics.intervals import estimates
from bench.statistics.significance import LEAST, holm, sign_flip
from bench.store import reader as store
from bench.store.manifest_diff import Difference, differences
from bench.store.schema import SCORE, TIMED
from bench.store.storage import Output, place

WHAT = ["search", "settings", "reward", "condition", "problem_seed"]
"""Columns that identify a trial, whichever run it is of."""
POINT = ["reward", "search", "settings"]
ABOUT = ("trial", *WHAT, "label", "seed", "budget", "budget_value", "image_file", *TIMED)
"""Columns that are no outcome; an image counts the same in its row or in a file of its own."""
MEASURES = ("value", "nfe")
"""Outcomes whose differences are tested against noise."""
SIGNIFICANCE = 0.05


class Verdict(Enum):
    """Verdict on the common trials of two runs; the member's value is for people."""

    IDENTICAL = "identical"
    WITHIN_NOISE = "different within noise"
    BEYOND_NOISE = "different beyond noise"
    NOTHING = "nothing in common"


@dataclass(frozen=True)
class Column:
    """One column of the trials that two runs have in common.

    Args:
        compared: trials that have it in both runs.
        different: those of them in which it differs.
        largest: the largest absolute difference; NaN where the column holds no numbers.
    """

    name: str
    compared: int
    different: int
    largest: float


@dataclass(frozen=True)
class Point:
    """One measure of one search with its settings for one reward: B less A, over the same problems.

    Args:
        n: problems for which both runs have it.
        mean, low, high: of the differences, with a 95 % interval; NaN where there are too few.
        p: of the paired test that their mean is 0, corrected for all points (Holm 1979); NaN where it says nothing.
        largest: the largest absolute difference.
    """

    reward: str
    search: str
    settings: str
    measure: str
    n: int
    mean_a: float
    mean_b: float
    mean: float
    low: float
    high: float
    p: float
    largest: float


@dataclass(frozen=True)
class Missing:
    """How many trials of a point only one run has."""

    reward: str
    search: str
    settings: str
    only_a: int
    only_b: int


@dataclass(frozen=True)
class Comparison:
    """The whole comparison of two runs.

    Args:
        settings: in which settings, versions and devices they differ.
        trials: how many trials A and B have.
        common: how many of them both have.
        same_identities: whether the common ones have the same identities.
        missing: points of which only one run has some trials.
        only_a, only_b: columns of outcomes that only one run has.
        different: how many common trials differ in any outcome.
        columns: of the common trials, as they are compared.
        points: those in which a measure differs.
        tested: how many points the test was corrected for: all, of each measure that differs anywhere.
        tolerance: mean differences up to it count as noise.
    """

    runs: tuple[str, str]
    settings: list[Difference]
    trials: tuple[int, int]
    common: int
    same_identities: bool
    missing: list[Missing]
    only_a: list[str]
    only_b: list[str]
    different: int
    columns: list[Column]
    points: list[Point]
    tested: int
    tolerance: float

    @property
    def same_trials(self) -> bool:
        """Whether each run has every trial of the other."""
        return self.trials == (self.common, self.common)

    @property
    def beyond(self) -> list[Point]:
        """The points that differ by more than noise and more than the tolerance."""
        return [p for p in self.points if p.p < SIGNIFICANCE and abs(p.mean) > self.tolerance]

    @property
    def too_few(self) -> list[Point]:
        """The points that differ, with too few problems for any difference to be beyond noise.

        The least p that flipping the signs of n differences can give is 2 / 2^n; where signs are drawn, 1 / 20001.
        """
        return [p for p in self.points if self.tested * max(2.0 ** (1 - p.n), LEAST) >= SIGNIFICANCE]

    @property
    def verdict(self) -> Verdict:
        """The verdict on the common trials."""
        if not self.common:
            return Verdict.NOTHING
        if not self.different:
            return Verdict.IDENTICAL
        return Verdict.BEYOND_NOISE if self.beyond else Verdict.WITHIN_NOISE


SAME, DIFFERENT, OTHER_TRIALS = 0, 4, 5
"""Exit codes of ``tts-bench compare``; 1 and 2 are those of an error."""


def exit_code(comparison: Comparison, exact: bool = False, common: bool = False) -> int:
    """The exit code for a script.

    Args:
        exact: that common trials differ within noise is a difference, too.
        common: it is enough that there are common trials.
    """
    verdict = comparison.verdict
    if verdict is Verdict.NOTHING or not (common or comparison.same_trials):
        return OTHER_TRIALS
    if verdict is Verdict.BEYOND_NOISE or (exact and verdict is not Verdict.IDENTICAL):
        return DIFFERENT
    return SAME


def compare(a: Output, b: Output, tolerance: float = 0.0) -> Comparison:
    """Compare two runs, finished or not.

    Args:
        a, b: their folders or addresses; not changed.
        tolerance: mean differences up to it count as noise, however sure they are.

    Raises:
        DataError: one of them is no run, or has no trial yet.
    """
    one, other = place(a), place(b)
    manifests = store.read_manifest(one), store.read_manifest(other)
    first, second = outcomes(one), outcomes(other)
    pairs = first.merge(second, on=WHAT, suffixes=("_a", "_b"))
    names = [str(name) for name in first if name in second and name not in ABOUT]
    masks = {name: _differs(name, pairs) for name in names}
    different = np.logical_or.reduce(list(masks.values()))
    points = _points(pairs, [name for name in MEASURES if masks[name].any()])
    return Comparison(
        runs=(str(one), str(other)),
        settings=differences(*manifests),
        trials=(len(first), len(second)),
        common=len(pairs),
        same_identities=bool((pairs["trial_a"] == pairs["trial_b"]).all()),
        missing=_missing(first, second, pairs),
        only_a=_others(first, second),
        only_b=_others(second, first),
        different=int(different.sum()),
        columns=[_column(name, pairs, mask) for name, mask in masks.items()],
        points=[point for point in points if point.largest > 0],
        tested=len(points),
        tolerance=tolerance,
    )


def _others(one: pd.DataFrame, other: pd.DataFrame) -> list[str]:
    return [str(name) for name in one if name not in other and name not in ABOUT]


def _missing(a: pd.DataFrame, b: pd.DataFrame, pairs: pd.DataFrame) -> list[Missing]:
    """Points of which one run has trials that the other lacks, sorted."""
    found, in_a, in_b = (frame.groupby(POINT).size() for frame in (pairs, a, b))
    counts = pd.DataFrame({"common": found, "a": in_a, "b": in_b}).fillna(0).astype(int)
    lacking = counts[(counts["a"] > counts["common"]) | (counts["b"] > counts["common"])].reset_index()
    return [
        Missing(row["reward"], row["search"], row["settings"], row["a"] - row["common"], row["b"] - row["common"])
        for row in lacking.to_dict("records")
    ]


def _differs(name: str, pairs: pd.DataFrame) -> NDArray[np.bool_]:
    """Which common trials differ in a column.

    That a value is null is an outcome; that an image is null says only that it was not kept.
    """
    a, b = pairs[f"{name}_a"], pairs[f"{name}_b"]
    lacks_a, lacks_b = a.isna().to_numpy(), b.isna().to_numpy()
    changed: NDArray[np.bool_] = ~lacks_a & ~lacks_b & (a != b).to_numpy()
    return changed | (lacks_a != lacks_b) if _is_score(name) else changed


def _column(name: str, pairs: pd.DataFrame, different: NDArray[np.bool_]) -> Column:
    a, b = pairs[f"{name}_a"], pairs[f"{name}_b"]
    both = (a.notna() & b.notna()).to_numpy()
    numbers = all(pd.api.types.is_numeric_dtype(x) and x.dtype != bool for x in (a, b))
    largest = _largest((b[both] - a[both]).to_numpy(np.float64)) if numbers else np.nan
    return Column(name, len(pairs) if _is_score(name) else int(both.sum()), int(different.sum()), largest)


def _is_score(name: str) -> bool:
    return name == "value" or name.startswith(SCORE)


def _points(pairs: pd.DataFrame, measures: list[str]) -> list[Point]:
    """These measures of every point, sorted, with p corrected for all of them."""
    groups = list(pairs.sort_values(WHAT).groupby(POINT)) if measures else []
    both = [group[[f"{m}_a", f"{m}_b"]].dropna().to_numpy(np.float64) for _, group in groups for m in measures]
    names = [(str(reward), str(search), str(settings), m) for (reward, search, settings), _ in groups for m in measures]
    found = [values[:, 1] - values[:, 0] for values in both]
    sure = holm(np.array(sign_flip(found)))
    return [
        Point(*name, e.n, *_means(values), e.mean, e.low, e.high, float(p), _largest(differences))
        for name, values, differences, e, p in zip(names, both, found, estimates(found), sure, strict=True)
    ]


def _means(values: NDArray[np.float64]) -> tuple[float, float]:
    """Means of two columns; NaN without rows."""
    a, b = values.mean(axis=0) if len(values) else (np.nan, np.nan)
    return float(a), float(b)


def _largest(values: NDArray[np.float64]) -> float:
    return float(np.abs(values).max(initial=0.0))
