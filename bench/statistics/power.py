"""How many problems a study needs to see a difference between two searches."""

from __future__ import annotations

import math

import pandas as pd
from scipy.special import ndtri

from bench.statistics.comparisons import compare_to

COLUMNS = ["reward", "search", "curve", "budget", "budget_value", "n", "difference", "spread", "problems"]


def problems_needed(spread: float, difference: float, power: float = 0.8, level: float = 0.05) -> int:
    """Problems of a paired comparison that finds a difference with a given probability.

    The normal approximation of the paired t test with Guenther's correction (Guenther 1981, "Sample size formulas for
    normal theory t tests", The American Statistician 35): ``(z_a + z_p)^2 (spread / difference)^2 + z_a^2 / 2``.

    Args:
        spread: standard deviation of the paired differences over problems, in units of the reward.
        difference: to be seen, above 0, in the same units.
        power: probability of seeing it.
        level: of the two-sided test.
    """
    z_level, z_power = ndtri(1 - level / 2), ndtri(power)
    return max(2, math.ceil(((z_level + z_power) * spread / difference) ** 2 + z_level**2 / 2))


def needed(trials: pd.DataFrame, difference: float, baseline: str = "naive", power: float = 0.8) -> pd.DataFrame:
    """What a pilot run says of the problems that each point of its curves needs against a baseline.

    Args:
        trials: of the pilot, one row per trial.
        difference: of the reward that is to be seen.
        baseline: the search to compare with.
        power: probability of seeing it.

    Returns:
        The columns :data:`COLUMNS`: ``spread`` is the standard deviation of the paired differences on the pilot's
        ``n`` problems; points without one are left out.

    Raises:
        SettingError: no trial has the baseline.
    """
    compared = compare_to(trials, baseline)
    frame = compared[compared["effect"].notna() & (compared["effect"] != 0)].copy()
    frame["spread"] = (frame["difference"] / frame["effect"]).abs()
    frame["problems"] = [problems_needed(spread, difference, power) for spread in frame["spread"]]
    return frame[COLUMNS].reset_index(drop=True)
