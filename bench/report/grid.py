"""A grid of images: problems across, searches down, a block of rows for each reward."""

from __future__ import annotations

import json
import math
import textwrap
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from bench.report.palette import EDGE, FAINT, INK, MISSING, look, rank
from bench.store.images import opened
from tts.errors import SettingError
from tts.settings import nearest

DPI = 150
TILE, GAP, CAPTION, LEFT, MARGIN, TITLE, LINE, BAR = 128, 10, 32, 270, 26, 60, 18, 6  # pixels
LABEL_WIDTH, LABEL_LINES = 15, 3  # of a column's header, in characters and lines
NAME_WIDTH = 18  # of a row's header, in characters

Problem: TypeAlias = tuple[str, int]
Pixels: TypeAlias = NDArray[np.uint8]


@dataclass(frozen=True)
class Row:
    """One search at its largest budget.

    Args:
        search: its registered name.
        detail: budget and cost, for people.
        trials: by problem, with ``image`` and ``value``.
    """

    search: str
    detail: str
    trials: dict[Problem, dict[Any, Any]]


class Sheet:
    """A white page in pixels, the origin at the top left; images keep their pixels, text is drawn over."""

    def __init__(self, width: int, height: int) -> None:
        self.pixels: Pixels = np.full((height, width, 3), 255, np.uint8)
        self.figure = Figure((width / DPI, height / DPI), dpi=DPI, facecolor="white")

    def paste(self, pixels: Pixels, x: int, y: int) -> None:
        """Put an image, [H, W, 3], with its top left corner at (x, y)."""
        self.pixels[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels

    def bar(self, colour: str, x: int, y: int, width: int, height: int) -> None:
        """Fill a rectangle."""
        self.pixels[y : y + height, x : x + width] = _rgb(colour)

    def write(self, text: str, x: float, y: float, **how: Any) -> None:
        """Put text at (x, y), vertically centred there by default."""
        height, width = self.pixels.shape[:2]
        how = {"color": INK, "fontsize": 8, "va": "center", **how}
        self.figure.text(x / width, 1 - y / height, text, parse_math=False, **how)

    def finished(self) -> Figure:
        """The page as a figure that draws every pixel as it is."""
        self.figure.figimage(self.pixels, origin="upper")
        return self.figure


def figure_images(trials: pd.DataFrame, reward: str | None = None, problems: int = 10) -> Figure:
    """The images of the same problems under every search; see :func:`bench.report.plots.plot_images`."""
    blocks = {name: rows_of(trials[trials["reward"] == name]) for name in _rewards(trials, reward)}
    columns = columns_of(trials[trials["reward"].isin(list(blocks))], problems)
    heights = [_header(columns) + len(rows) * (TILE + CAPTION) for rows in blocks.values()]
    sheet = Sheet(LEFT + len(columns) * (TILE + GAP) - GAP + MARGIN, sum(heights) + MARGIN)
    for place, (name, rows) in enumerate(blocks.items()):
        _draw_block(sheet, sum(heights[:place]), f"searched on {name.replace('_', ' ')}", rows, columns)
    return sheet.finished()


def pictured(trials: pd.DataFrame, problems: int = 10) -> list[str]:
    """The trials whose images :func:`figure_images` draws; to be read one by one from a large run.

    Args:
        trials: without their images.
    """
    columns = set(columns_of(trials, problems))
    found = []
    for _, group in trials.groupby(["reward", "search"]):
        largest = _largest(group)
        places = zip(largest["condition"].astype(str), largest["seed"].astype(int), strict=True)
        found += [key for key, place in zip(largest["trial"], places, strict=True) if place in columns]
    return found


def _rewards(trials: pd.DataFrame, reward: str | None) -> list[str]:
    found = sorted(set(trials["reward"]))
    if not found:
        raise SettingError("no images to plot: there are no trials")
    if reward is None:
        return found
    if reward not in found:
        raise SettingError(f"no trial searched on reward '{reward}'; {nearest(reward, found)}")
    return [reward]


def columns_of(trials: pd.DataFrame, problems: int) -> dict[Problem, str]:
    """The first problems with their headers: all conditions of the first seed, then the next seed."""
    table = trials[["condition", "seed", "label"]].drop_duplicates(["condition", "seed"])
    labels = {(str(condition), int(seed)): str(label) for condition, seed, label in table.to_numpy()}
    chosen = sorted(labels, key=lambda problem: (problem[1], _condition_rank(problem[0])))[:problems]
    numbered = len({seed for _, seed in chosen}) > 1
    return {problem: _wrapped(labels[problem]) + f" #{problem[1]}" * numbered for problem in chosen}


def _condition_rank(condition: str) -> tuple[float, str]:
    """Sorts class 10 after class 2, and prompts by their text."""
    value = json.loads(condition)
    return (float(value), "") if isinstance(value, int) else (math.inf, str(value))


def _wrapped(label: str) -> str:
    return textwrap.fill(label, LABEL_WIDTH - 2, max_lines=LABEL_LINES, placeholder="…")


def rows_of(trials: pd.DataFrame) -> list[Row]:
    """One row a search, in the order of the legend."""
    searches = sorted(set(trials["search"]), key=rank)
    return [_row(search, _largest(trials[trials["search"] == search])) for search in searches]


def _largest(trials: pd.DataFrame) -> pd.DataFrame:
    """The trials of a search's point with the largest budget; of several such, the one that spends most."""
    points = [group for _, group in trials.groupby(["settings", "budget", "budget_value"], dropna=False)]
    return max(points, key=lambda point: (_budget_value(point), float(point["nfe"].mean())))


def _budget_value(point: pd.DataFrame) -> float:
    value = point["budget_value"].iloc[0]
    return -math.inf if pd.isna(value) else float(value)


def _row(search: str, trials: pd.DataFrame) -> Row:
    first = trials.iloc[0]
    budget = [] if pd.isna(first["budget"]) else [f"{first['budget']} = {first['budget_value']:g}"]
    detail = ", ".join([*budget, f"{trials['nfe'].mean():,.0f} NFE"])
    records = trials[["condition", "seed", "value", "image"]].to_dict("records")
    by_problem = {(str(record["condition"]), int(record["seed"])): record for record in records}
    return Row(search, detail, by_problem)


def _header(columns: dict[Problem, str]) -> int:
    """Height in pixels of a block's title and column headers."""
    return TITLE + LINE * max(label.count("\n") + 1 for label in columns.values())


def _draw_block(sheet: Sheet, top: int, title: str, rows: list[Row], columns: dict[Problem, str]) -> None:
    best = {problem: max(_value(row, problem) for row in rows) for problem in columns}
    sheet.write(title, MARGIN, top + TITLE * 0.6, fontsize=11.5, fontweight="bold")
    top += _header(columns)
    for column, label in enumerate(columns.values()):
        sheet.write(label, _left(column) + TILE / 2, top - 6, ha="center", va="bottom", fontsize=7.5)
    for place, row in enumerate(rows):
        y = top + place * (TILE + CAPTION)
        _draw_name(sheet, y, row)
        for column, problem in enumerate(columns):
            _draw_image(sheet, _left(column), y, row.trials.get(problem), best[problem])


def _draw_name(sheet: Sheet, y: int, row: Row) -> None:
    """The search in the colour that it has on curves, with what it spent."""
    x = MARGIN + BAR + 12
    name = look(row.search).name
    name = name if len(name) <= NAME_WIDTH else f"{name[: NAME_WIDTH - 1]}…"
    sheet.bar(look(row.search).colour, MARGIN, y, BAR, TILE)
    sheet.write(name, x, y + TILE / 2 - 13, fontsize=9.5, fontweight="bold")
    sheet.write(row.detail, x, y + TILE / 2 + 13, color=FAINT)


def _draw_image(sheet: Sheet, x: int, y: int, trial: dict[Any, Any] | None, best: float) -> None:
    """An image with its value below, bold where no search of the block did better on the problem."""
    image = None if trial is None or not isinstance(trial["image"], bytes) else trial["image"]
    sheet.bar(EDGE, x - 1, y - 1, TILE + 2, TILE + 2)  # else a white image would not stand out from the page
    sheet.paste(_tile(image), x, y)
    if image is None:
        sheet.write("no image", x + TILE / 2, y + TILE / 2, ha="center", color=FAINT, fontsize=7)
    if trial is not None:
        value = _float(trial["value"])
        text = "unscored" if math.isnan(value) else f"{value:.3f}"
        how = {"color": INK, "fontweight": "bold"} if value == best else {"color": FAINT}
        sheet.write(text, x + TILE / 2, y + TILE + 13, ha="center", fontsize=7.5, **how)


def _tile(image: bytes | None) -> Pixels:
    """An image in a square tile, [TILE, TILE, 3].

    Small images grow by whole multiples of their pixels, large ones are smoothed.
    """
    tile = Image.new("RGB", (TILE, TILE), MISSING if image is None else "white")
    if image is not None:
        picture = opened(image)
        if max(picture.size) > TILE:
            picture.thumbnail((TILE, TILE), Image.Resampling.LANCZOS)
        factor = TILE // max(picture.size)
        picture = picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
        tile.paste(picture, ((TILE - picture.width) // 2, (TILE - picture.height) // 2))
    return np.asarray(tile)


def _left(column: int) -> int:
    return LEFT + column * (TILE + GAP)


def _value(row: Row, problem: Problem) -> float:
    """A problem's value for comparisons; one that is missing or unscored loses every one."""
    value = _float(row.trials[problem]["value"]) if problem in row.trials else math.nan
    return -math.inf if math.isnan(value) else value


def _float(value: object) -> float:
    return math.nan if value is None else float(value)  # type: ignore[arg-type]


def _rgb(colour: str) -> tuple[int, int, int]:
    red, green, blue = (round(255 * part) for part in to_rgb(colour))
    return red, green, blue
