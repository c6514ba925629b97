"""The same problems before and after: images under naive sampling and under each search, within a limit of bytes."""

from __future__ import annotations

import base64
import io
import math
from typing import Any

import pandas as pd
from PIL import Image

from bench.report.grid import Problem, Row, columns_of, rows_of
from bench.report.html.blocks import Grid, GridRow, Picture
from bench.report.html.charts import colours, words
from bench.report.palette import look
from bench.store.images import opened

PROBLEMS = 10
SMALL = 64
"""Images of at most so many pixels across are kept as they are, and drawn with visible pixels."""

LADDER = ((256, 86), (192, 82), (160, 78), (128, 74), (96, 70), (64, 60))
"""Sizes and JPEG qualities of larger ones, the best first."""


def grids(trials: pd.DataFrame, baseline: str, limit: int) -> list[Grid]:
    """A grid for each reward searched on.

    Args:
        trials: those that are shown, with ``image``.
        baseline: the search whose rewards are subtracted.
        limit: bytes of all images in the page.
    """
    problems = columns_of(trials, PROBLEMS)
    by_reward = {str(reward): rows_of(group) for reward, group in trials.groupby("reward")}
    cells = sum(len(rows) for rows in by_reward.values()) * len(problems)
    each = int(limit * 3 / 4 / max(cells, 1)) - 64  # of the bytes before base64
    labels = _labels(trials, problems)
    return [_grid(reward, rows, labels, baseline, each) for reward, rows in by_reward.items()]


def _labels(trials: pd.DataFrame, problems: dict[Problem, str]) -> dict[Problem, str]:
    """Problems in full, as the page can cut them where it must."""
    table = trials[["condition", "seed", "label"]].drop_duplicates(["condition", "seed"])
    found = {(str(condition), int(seed)): str(label) for condition, seed, label in table.to_numpy()}
    numbered = len({seed for _, seed in problems}) > 1
    return {problem: found[problem] + f" #{problem[1]}" * numbered for problem in problems}


def _grid(reward: str, rows: list[Row], labels: dict[Problem, str], baseline: str, each: int) -> Grid:
    first = next((row for row in rows if row.search == baseline), None)
    before = {} if first is None else {problem: _value(first, problem) for problem in labels}
    best = {problem: max((_value(row, problem) for row in rows), key=_order) for problem in labels}
    shown = [
        GridRow(
            look(row.search).name,
            row.detail,
            colours(look(row.search).colour),
            [
                _picture(row, problem, label, {} if row is first else before, best, each)
                for problem, label in labels.items()
            ],
        )
        for row in rows
    ]
    caption = f"Searched on {words(reward)}: each search at its largest budget, the same problems in every row"
    return Grid(caption, list(labels.values()), shown, [f"images-{reward.replace('_', '-')}.png"])


def _picture(
    row: Row, problem: Problem, label: str, before: dict[Problem, float], best: dict[Problem, float], each: int
) -> Picture | None:
    trial = row.trials.get(problem)
    if trial is None:
        return None
    value = _value(row, problem)
    gain = value - before.get(problem, math.nan)
    text = "unscored" if math.isnan(value) else f"{value:.3f}"
    source, pixelated = (None, False) if not isinstance(trial["image"], bytes) else encoded(trial["image"], each)
    return Picture(
        source=source,
        alt=f"{label} by {look(row.search).name}: {text}",
        value=text,
        gain="" if math.isnan(gain) else f"{gain:+.3f}",
        better=gain > 0,
        best=value == best[problem],
        pixelated=pixelated,
    )


def encoded(image: bytes, limit: int) -> tuple[str | None, bool]:
    """An image as a data address of about a limit of bytes at most, and whether it is shown as squares.

    Args:
        image: a PNG file.
        limit: bytes; None is the answer where not even the smallest copy fits.
    """
    picture = opened(image)
    if max(picture.size) <= SMALL and len(image) <= limit:
        return _address(image, "png"), True
    for size, quality in LADDER:
        copy = picture.copy()
        copy.thumbnail((size, size), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        copy.save(buffer, "JPEG", quality=quality, optimize=True)
        if buffer.tell() <= limit:
            return _address(buffer.getvalue(), "jpeg"), False
    return None, False


def _address(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _value(row: Row, problem: Problem) -> float:
    """A problem's reward; NaN where it is missing or unscored."""
    value: Any = row.trials.get(problem, {}).get("value")
    return math.nan if value is None else float(value)


def _order(value: float) -> float:
    return -math.inf if math.isnan(value) else value
