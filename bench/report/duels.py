"""Compare each search's images with those of a baseline, by a judge that sees two at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from rich.table import Table
from rich.text import Text

from bench.report.html.cells import measured
from bench.report.summary import read_images, read_trials
from bench.statistics.curves import curve_labels, label
from bench.statistics.intervals import estimates
from bench.statistics.observations import POINT, PROBLEM
from bench.store.images import Pixels, pixels_of
from bench.store.storage import Output, place
from tts.errors import SettingError
from tts.rewards.pairs import Pair, PairJudge

if TYPE_CHECKING:
    from torch import Tensor

COLUMNS = [*POINT, "curve", "n", "undecided", "missing", "rate", "low", "high"]
BATCH = 16
"""Pairs that are held at once."""


def duels(run: Output, judge: PairJudge, baseline: str = "naive") -> pd.DataFrame:
    """How often a judge prefers a search's final image to the baseline's of the same problem.

    Args:
        run: with stored images.
        judge: compares two images.
        baseline: a search with one point.

    Returns:
        A row for each point but the baseline's: ``rate`` is the mean preference, 0.5 where none is better, with its
        95 % interval over problems; ``undecided`` pairs have no readable answer and ``missing`` ones no images.

    Raises:
        DataError: there is no run, or an image is damaged.
        SettingError: no trial of the baseline, or it has several points.
    """
    trials, base, others = chosen(run, baseline)
    labels, keys = curve_labels(others), ["reward", *PROBLEM]
    ours = others.merge(base[[*keys, "trial"]], on=keys, suffixes=("", "_base"))
    rows = []
    for point, part in ours.groupby(POINT, dropna=False, sort=False):
        told = dict(zip(POINT, point, strict=True))
        rows.append({**told, "curve": label(labels, told), **_judged(run, part, trials, judge)})
    return pd.DataFrame(rows, columns=COLUMNS)


def chosen(run: Output, baseline: str) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """All finished trials, those of the baseline, and those to compare with it.

    Raises:
        DataError: there is no run.
        SettingError: no trial of the baseline, several settings of it, or no trial of another search.
    """
    trials = read_trials(run)
    trials = trials[trials["error"].isna()]
    base = trials[trials["search"] == baseline]
    others = trials[trials["search"] != baseline]
    if base.empty or others.empty:
        raise SettingError(f"--baseline {baseline}: the run needs trials of it, and of another search")
    if base["settings"].nunique() > 1:
        raise SettingError(f"--baseline {baseline}: was run with several settings; name a search with one, as naive")
    return trials, base.drop_duplicates(["reward", *PROBLEM]), others


def _judged(run: Output, part: pd.DataFrame, trials: pd.DataFrame, judge: PairJudge) -> dict[str, Any]:
    """The numbers of a point."""
    found, missing = list[float | None](), 0
    for at in range(0, len(part), BATCH):
        some = part.iloc[at : at + BATCH]
        images = read_images(run, trials[trials["trial"].isin([*some["trial"], *some["trial_base"]])])
        seen = {key: _tensor(pixels_of(place(run), key, image)) for key, image in images.items() if image is not None}
        rows = zip(some["trial_base"], some["trial"], some["label"], strict=True)
        pairs = [Pair(seen[a], seen[b], str(prompt)) for a, b, prompt in rows if a in seen and b in seen]
        missing += len(some) - len(pairs)
        found += judge.preferences(pairs) if pairs else []
    values = np.array([value for value in found if value is not None], np.float64)
    [estimate] = estimates([values])
    numbers = {"rate": estimate.mean, "low": estimate.low, "high": estimate.high}
    return {"n": len(values), "undecided": len(found) - len(values), "missing": missing, **numbers}


def _tensor(image: Pixels) -> Tensor:
    """``[3, H, W]`` uint8."""
    import torch

    return torch.from_numpy(image.copy()).permute(2, 0, 1)


def render(found: pd.DataFrame, baseline: str) -> Table:
    """One row a point."""
    columns: Sequence[str] = (
        "searched on",
        "search",
        "pairs",
        "undecided",
        "no image",
        f"preferred to {baseline}",
        "95 %",
    )
    table = Table(*columns, title="duels", title_justify="left")
    for row in found.to_dict("records"):
        budget = "" if pd.isna(row["budget_value"]) else f" {row['budget']}={row['budget_value']:g}"
        counts = [f"{row[name]:,}" for name in ("n", "undecided", "missing")]
        table.add_row(
            Text(str(row["reward"])),
            Text(f"{row['curve']}{budget}"),
            *counts,
            *measured(row["rate"], row["low"], row["high"]),
        )
    return table
