"""The input of every statistic: finished trials, each once, with derived points and all costs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from bench.statistics.best_of import derived

PROBLEM = ["condition", "seed"]
POINT = ["reward", "search", "settings", "budget", "budget_value"]
COSTS = ["nfe", "flops", "device_seconds", "wall_seconds", "decodes", "reward_calls"]
COLUMNS = ["trial", *POINT, *PROBLEM, "value", *COSTS, "derived", "left_out"]


def observations(
    trials: pd.DataFrame, flops: float | None = None, best_of: Sequence[int] | None = None
) -> pd.DataFrame:
    """Finished trials once each, sorted by problem, and best-of-k as if it had been run.

    Every function that takes trials begins with this; what it returns may be given to them too, and is left as it is.

    Args:
        trials: one row per trial, as the store reads them. Failed ones are left out.
        flops: floating-point operations of one denoiser forward, as in a run's manifest; None: unknown, so that
            ``flops`` is NaN, unless the trials have such a column.
        best_of: values of k to derive from the samples of best-of-N; None: powers of two below the largest N; (): none.
            Those that were run are not derived.

    Returns:
        The columns :data:`COLUMNS`: ``derived`` says that a row was made from a larger best-of-N, ``left_out`` how many
        samples of it could not be scored. A cost that the table lacks is NaN.
    """
    if "derived" in trials:
        return trials
    if "error" in trials:
        trials = trials[trials["error"].isna()]
    trials = trials.drop_duplicates(["trial", "budget"])
    trials = _with_costs(trials, flops).assign(value=trials["value"].astype(float), derived=False, left_out=0)
    if "samples" in trials:
        found = derived(trials, best_of, COSTS)
        if len(found):
            trials = pd.concat([trials[COLUMNS], found.assign(derived=True)[COLUMNS]])
    return trials[COLUMNS].sort_values([*PROBLEM, "trial"], ignore_index=True)


def _with_costs(trials: pd.DataFrame, flops: float | None) -> pd.DataFrame:
    known = {cost: trials[cost].astype(float) if cost in trials else math.nan for cost in COSTS}
    if flops is not None:
        known["flops"] = trials["nfe"].astype(float) * flops
    return trials.assign(**known)
