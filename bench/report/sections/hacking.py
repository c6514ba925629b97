"""Whether a gain is real: other rewards, predictions, diversity, distance from real images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from bench.report.html.analysis import Analysis
from bench.report.html.blocks import Block, Cell, Column, Section, Table, Text
from bench.report.html.cells import (
    RIGHT,
    curve_cell,
    measured,
    percent,
    shortened,
    signed,
    value,
    with_interval,
)
from bench.report.html.charts import words
from bench.report.html.figures import File, csv
from bench.report.html.names import point_name
from bench.report.html.page_data import Page


def section(analysis: Analysis, page: Page) -> Section:
    """The section on the page."""
    title, short = "Gain or reward hacking?", "Hacking"
    blocks: list[Block] = []
    missing = []
    if len(analysis.scores) > 1 and analysis.matrix["gain"].notna().any():
        note = (
            "A search on one reward, scored on the others: gain over naive sampling in standard deviations of naive's "
            "images. The diagonal is what was searched on; a gain there alone, at the expense of others, is a hack."
        )
        blocks += [
            Text(note, "note"),
            _matrix(analysis, analysis.best_scores, "Searched on x, scored on y: the best search of each reward"),
            _matrix(analysis, analysis.matrix, "All searches at their largest budgets", folded=True),
        ]
    else:
        missing.append("There is no second reward, or no naive sampling, to judge by.")
    if analysis.gaps is not None:
        blocks.append(_gaps(analysis, analysis.gaps))
    else:
        missing.append("What searches predicted is only known from a trace (trace: true).")
    found, why = _features(analysis)
    return _partly("hacking", title, short, [*blocks, *found], [*missing, *why])


def _features(analysis: Analysis) -> tuple[list[Block], list[str]]:
    """Diversity and distances from features of the images, and why something is missing."""
    measured = analysis.features
    if isinstance(measured, str):
        return [], [f"Diversity and distance from real images are absent: {measured[0].lower()}{measured[1:]}"]
    blocks: list[Block] = [Text(f"Features of the images: {measured.extractor}.", "note")]
    missing = []
    if measured.diversity["distance"].notna().any():
        blocks.append(_diversity(analysis, measured.diversity))
    else:
        missing.append("No condition has two images, so nothing can be said of diversity.")
    if measured.frechet is not None:
        blocks.append(_frechet(analysis, measured.frechet))
        warnings = list(dict.fromkeys(measured.frechet["warning"].dropna().astype(str)))
        blocks += [Text(f"{warning[0].upper()}{warning[1:]}.", "warning") for warning in warnings[:3]]
    return blocks, missing


def _partly(name: str, title: str, short: str, blocks: list[Block], missing: list[str]) -> Section:
    """A section of which parts may be missing."""
    if not blocks:
        return Section(name, title, short, [], " ".join(missing))
    return Section(name, title, short, [*blocks, *(Text(" ".join(missing), "note") for _ in missing[:1])])


def _matrix(analysis: Analysis, frame: pd.DataFrame, caption: str, folded: bool = False) -> Table:
    """Searched on x, scored on y: a heat table of gains over naive.

    Args:
        frame: rows of :func:`bench.statistics.hacking.score_matrix`.
        caption: of the table.
        folded: behind a click.
    """
    scores = sorted(frame["scored_on"].unique())
    held_out = set(frame.loc[frame["held_out"].astype(bool), "scored_on"])
    columns = [
        Column("searched on"),
        Column("by"),
        *(Column(f"{words(name)}{' (held out)' if name in held_out else ''}", RIGHT) for name in scores),
    ]
    most = frame["gain"].abs().max()
    rows = []
    for (reward, curve, _), group in frame.groupby(["reward", "curve", "settings"], sort=False):
        by_score = {row["scored_on"]: row for row in group.to_dict("records")}
        first = next(iter(by_score.values()))
        cells = [_gain(by_score.get(name), most, strong=name == reward) for name in scores]
        name = curve_cell(analysis, curve, point_name(first, analysis.name(str(curve))))
        rows.append([Cell(words(str(reward))), name, *cells])
    files = [] if folded else ["scores.csv"]
    return shortened(rows, columns, caption, files=files, style="matrix", folded=folded)


def _gain(row: dict[Any, Any] | None, most: float, strong: bool) -> Cell:
    if row is None or pd.isna(row["gain"]):
        return Cell("–")
    title = f"mean {value(row['mean'])}, naive {value(row['naive'])}, n = {row['n']}"
    around = measured(row["gain"], row["low"], row["high"])[1]
    return Cell(signed(row["gain"]), around, title, strong, heat=row["gain"] / most if most else 0.0)


def _gaps(analysis: Analysis, frame: pd.DataFrame) -> Table:
    """Reward of the predicted image that the search saw last, and of the final one."""
    columns = [
        Column("searched on"),
        Column("search"),
        Column("predicted", RIGHT, "mean reward of the last predicted image"),
        Column("final", RIGHT, "mean reward of the final image"),
        Column("gap", RIGHT, "mean of predicted less final, and its 95 % interval"),
        Column("size", RIGHT, "mean size of the difference, whatever its sign"),
        Column("n", RIGHT),
    ]
    rows = [
        [
            Cell(words(row["reward"])),
            curve_cell(analysis, row["curve"], point_name(row, analysis.name(row["curve"]))),
            Cell(value(row["predicted"])),
            Cell(value(row["final"])),
            with_interval(row, "gap", "low", "high"),
            Cell(value(row["size"])),
            Cell(str(row["n"])),
        ]
        for row in frame.to_dict("records")
    ]
    caption = "The last predicted image that a search judged by, and the final image"
    return shortened(rows, columns, caption, files=["prediction-gap.csv"])


def _diversity(analysis: Analysis, frame: pd.DataFrame) -> Table:
    """How different the images of one condition are."""
    columns = [
        Column("searched on"),
        Column("search"),
        Column("distance", RIGHT, "mean 1 − cosine of the features of two images of one condition, 95 % interval"),
        Column("of naive's", RIGHT),
        Column("conditions", RIGHT, "with at least two images"),
        Column("images", RIGHT),
    ]
    rows = [
        [
            Cell(words(row["reward"])),
            curve_cell(analysis, row["curve"], point_name(row, analysis.name(row["curve"]))),
            with_interval(row, "distance", "low", "high"),
            Cell(percent(row["relative"])),
            Cell(str(row["conditions"])),
            Cell(str(row["images"])),
        ]
        for row in frame.to_dict("records")
    ]
    return shortened(rows, columns, "Diversity within a condition", files=["diversity.csv"])


def _frechet(analysis: Analysis, frame: pd.DataFrame) -> Table:
    """How far the images of a point are from real ones, as a set."""
    columns = [
        Column("searched on"),
        Column("search"),
        Column("Fréchet distance", RIGHT, "squared, between the features of these images and of real ones"),
        Column("floor", RIGHT, "what so many real images would have, on average"),
        Column("n", RIGHT),
    ]
    rows = [
        [
            Cell(words(row["reward"])),
            curve_cell(analysis, row["curve"], point_name(row, analysis.name(row["curve"]))),
            Cell(value(row["distance"])),
            Cell(value(row["floor"])),
            Cell(str(row["n"]), title="" if pd.isna(row["warning"]) else str(row["warning"])),
        ]
        for row in frame.to_dict("records")
    ]
    return shortened(rows, columns, "Distance from real images", files=["frechet.csv"])


def files(analysis: Analysis) -> Iterator[File]:
    """What lies beside the page; one at a time, since pictures are large."""
    if len(analysis.matrix):
        yield "scores.csv", csv(analysis.matrix)
    if analysis.gaps is not None:
        yield "prediction-gap.csv", csv(analysis.gaps)
    if not isinstance(analysis.features, str):
        if analysis.features.diversity["distance"].notna().any():
            yield "diversity.csv", csv(analysis.features.diversity)
        if analysis.features.frechet is not None:
            yield "frechet.csv", csv(analysis.features.frechet)
