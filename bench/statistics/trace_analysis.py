"""Figures from a trace: the best reward so far against compute, where the gain arises, which moves win.

Every function takes a trace as :func:`bench.store.trace.read` gives it (one row an evaluation) and the trials that
it belongs to, and works on whole columns: millions of evaluations are a matter of seconds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from bench.statistics.intervals import CONFIDENCE

POINT = ["reward", "search", "settings"]
"""What the trials of one point of a curve share: the reward searched on, the search and its settings."""

STEP = ["point", "step"]
KINDS = ("global", "local")
COLUMNS = ["trial", "round", "candidate", "first", "kind", "reward", "chosen", "best", "nfe_so_far"]
"""The columns of a trace that are used here."""


def reward_so_far(trace: pd.DataFrame, trials: pd.DataFrame, points: int = 48) -> pd.DataFrame:
    """The best reward so far against the denoiser calls spent, inside the trials of each point.

    A trial that is done keeps its best. The mean starts where every trial has its first reward, so that it is of the
    same trials everywhere.

    Args:
        trace: evaluations.
        trials: of them; evaluations of others are left out.
        points: NFE values at most for each point.

    Returns:
        :data:`POINT`, ``nfe``, ``n`` (trials), ``mean``, ``low`` and ``high`` (95 %, Student's t over trials).
    """
    joined = _Joined(trace, trials)
    scored = joined.rows[joined.rows["best"].notna()]
    found = [_so_far(group, points).assign(point=point) for point, group in scored.groupby("point")]
    columns = ["point", "nfe", "n", "mean", "low", "high"]
    return joined.named(pd.concat(found)[columns] if found else pd.DataFrame(columns=columns))


def gain_by_step(trace: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """At which step of the trajectory the gain arises.

    An evaluation counts for the step where its segment begins, so a whole trajectory counts for its start. The rises
    of a trial add up to its last best reward less its first one.

    Args:
        trace: evaluations.
        trials: of them; evaluations of others are left out.

    Returns:
        :data:`POINT`, ``step``, ``n`` (trials), ``mean`` (rise of the best reward so far during the step, over all
        trials of the point), ``low`` and ``high`` (95 %, Student's t), ``share`` (of the rises of all steps) and
        ``selection`` (reward of what the search went on with, less the mean of the step's candidates).
    """
    joined = _Joined(trace, trials)
    rows = joined.rows
    before = rows["best"].groupby(rows["trial"], sort=False).shift()
    rises = rows.assign(rise=(rows["best"] - before).fillna(0.0)).groupby([*STEP, "trial"])["rise"].sum()
    steps = pd.DataFrame({"total": rises, "squares": rises**2}).groupby(STEP).sum()
    numbers = rows.groupby("point")["trial"].nunique().rename("n")
    steps = steps.join(numbers).join(_selection(rows)).reset_index()
    interval = _interval(*(steps[name].to_numpy(float) for name in ("total", "squares", "n")))
    steps = steps.assign(share=_share(steps["total"], steps["point"]), **interval)
    return joined.named(steps[[*STEP, "n", "mean", "low", "high", "share", "selection"]])


def wins(trace: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """How often fresh (global) and moved (local) noises win, step by step.

    A candidate wins when the search goes on from its state, or it is the result.

    Args:
        trace: evaluations.
        trials: of them; evaluations of others are left out.

    Returns:
        :data:`POINT`, ``step``, ``kind``, ``candidates``, ``wins``, ``rate`` (wins a candidate) and ``share`` (of the
        step's wins); only scored candidates count. No row where no noise is injected.
    """
    joined = _Joined(trace, trials)
    scored = joined.rows[joined.rows["kind"].isin(KINDS) & joined.rows["value"].notna()]
    counts = scored.groupby([*STEP, "kind"])["chosen"].agg(candidates="size", wins="sum").reset_index()
    rates = counts.assign(rate=counts["wins"] / counts["candidates"])
    places = rates.groupby(STEP).ngroup()
    return joined.named(rates.assign(share=_share(rates["wins"], places)))


def all_wins(by_step: pd.DataFrame) -> pd.DataFrame:
    """:func:`wins` summed over the steps."""
    counts = by_step.groupby([*POINT, "kind"])[["candidates", "wins"]].sum().reset_index()
    places = counts.groupby(POINT).ngroup()
    return counts.assign(rate=counts["wins"] / counts["candidates"], share=_share(counts["wins"], places))


class _Joined:
    """A trace in the order in which it was made, with numbers in place of names.

    Attributes:
        rows: ``point`` and ``trial`` (numbers), ``step`` (where the segment begins), ``value`` (its reward) and the
            other columns that are used.
        points: :data:`POINT` by number.
    """

    def __init__(self, trace: pd.DataFrame, trials: pd.DataFrame) -> None:
        trials = trials.drop_duplicates("trial", ignore_index=True)
        numbers = trials.groupby(POINT).ngroup().to_numpy()
        self.points = trials[POINT].assign(point=numbers).drop_duplicates("point").set_index("point")
        places = pd.Index(trials["trial"]).get_indexer(pd.Index(trace["trial"]))
        known = places >= 0
        rows = trace.loc[known, COLUMNS].rename(columns={"first": "step", "reward": "value"})
        rows = rows.assign(trial=places[known], point=numbers[places[known]])
        self.rows = rows.sort_values(["trial", "round", "candidate"], kind="stable", ignore_index=True)

    def named(self, found: pd.DataFrame) -> pd.DataFrame:
        """A result with the names of its points, in the order of its rows."""
        names = self.points.reindex(found["point"]).reset_index(drop=True)
        return pd.concat([names, found.drop(columns="point").reset_index(drop=True)], axis=1)


def _so_far(group: pd.DataFrame, points: int) -> pd.DataFrame:
    """:func:`reward_so_far` of one point: a staircase for each trial, read off at the same NFE values."""
    codes, _ = pd.factorize(group["trial"])
    spent = group["nfe_so_far"].to_numpy(np.int64)
    grid = _grid(spent, int(group.groupby("trial")["nfe_so_far"].min().max()), points)
    stride = int(spent.max()) + 1
    # One search for all trials: their staircases laid end to end, each on a stretch of its own.
    places = np.arange(codes.max() + 1)[:, None] * stride + grid[None, :]
    values = group["best"].to_numpy(float)[np.searchsorted(codes * stride + spent, places, side="right") - 1]
    n = np.full(len(grid), len(values))
    return pd.DataFrame({"nfe": grid, "n": n, **_interval(values.sum(axis=0), (values**2).sum(axis=0), n)})


def _grid(spent: NDArray[np.int64], start: int, points: int) -> NDArray[np.int64]:
    """NFE values from a start on: all that occur, or as many as asked for, evenly spaced in their ratio."""
    found = np.unique(spent[spent >= start])
    if len(found) <= points:
        return found
    return np.unique(np.round(np.geomspace(max(start, 1), found[-1], points)).astype(np.int64))


def _selection(rows: pd.DataFrame) -> pd.Series[Any]:
    """Mean reward of the chosen less that of all candidates, over the trials that chose at a step."""
    scored = rows[rows["value"].notna()]
    everyone = scored.groupby([*STEP, "trial"])["value"].mean()
    chosen = scored[scored["chosen"]].groupby([*STEP, "trial"])["value"].mean()
    means: pd.Series[Any] = (chosen - everyone).groupby(STEP).mean()
    return means.rename("selection")


def _interval(total: NDArray[Any], squares: NDArray[Any], n: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Means and their 95 % intervals from sums and sums of squares; one value has no interval (NaN)."""
    mean, freedom = total / n, np.where(n > 1, n - 1, np.nan)
    spread = np.sqrt(np.maximum(squares - n * mean**2, 0) / freedom / n)
    half = stdtrit(freedom, (1 + CONFIDENCE) / 2) * spread
    return {"mean": mean, "low": mean - half, "high": mean + half}


def _share(parts: pd.Series[Any], within: pd.Series[Any]) -> pd.Series[Any]:
    """Each part of its group's sum; NaN where that is 0."""
    whole = parts.groupby(within).transform("sum")
    return parts / whole.where(whole != 0)
