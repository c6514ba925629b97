"""The page's tables."""

from __future__ import annotations

import json
import math
from typing import Any

import pandas as pd

from bench.report.html.analysis import Analysis, point_name, search_name
from bench.report.html.blocks import Cell, Column, Table
from bench.report.html.charts import AXES, colours, words

ROWS = 400
"""Rows of a table at most; the CSV beside the page has all."""

RIGHT = "right"
LEVEL = 0.05
NUMBER = "mean over problems and its 95 % interval"
HOLM = "after Holm's correction over all comparisons of the reward; bold below 0.05"


def value(number: Any, digits: int = 3) -> str:
    """A number for people; a dash for none."""
    if number is None or not math.isfinite(number):
        return "–"
    text = f"{float(number):,.{digits}f}"
    return text.removeprefix("-") if not float(text.replace(",", "")) else text.replace("-", "−")


def cost(number: Any) -> str:
    """A cost for people: three digits that mean something."""
    if number is None or not math.isfinite(number):
        return "–"
    return f"{number:,.0f}" if 100 <= number < 1e7 else f"{number:.3g}"


def measured(mean: Any, low: Any, high: Any) -> tuple[str, str]:
    """A mean and ``[low, high]``, with as many decimals as the interval leaves certain and one more."""
    if pd.isna(low) or pd.isna(high) or not math.isfinite(high - low):
        return value(mean), ""
    half = (high - low) / 2
    digits = min(max(1 - math.floor(math.log10(half)), 0), 6) if half > 0 else 3
    return value(mean, digits), f"[{value(low, digits)}, {value(high, digits)}]"


def with_interval(row: dict[Any, Any], name: str, low: str, high: str, strong: bool = False) -> Cell:
    """A cell with a number and its interval."""
    return Cell(*measured(row[name], row[low], row[high]), strong=strong)


def p_value(p: Any) -> str:
    """A probability for people."""
    return "–" if pd.isna(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"


def curve_cell(analysis: Analysis, label: Any, text: str | None = None) -> Cell:
    """A curve's name behind its colour."""
    look = analysis.looks.get(label)
    return Cell(text or analysis.name(label), colour=None if look is None else colours(look.colour))


def shortened(rows: list[list[Cell]], columns: list[Column], caption: str, **how: Any) -> Table:
    """A table that says so if it leaves rows out."""
    if len(rows) > ROWS:
        caption = f"{caption} (the first {ROWS} of {len(rows)} rows; the CSV file has all)"
    return Table(caption, columns, rows[:ROWS], **how)


def points(analysis: Analysis) -> Table:
    """Every point of every curve."""
    columns = [
        Column("searched on"),
        Column("search"),
        Column("mean", RIGHT, NUMBER),
        Column("n", RIGHT, "problems scored; in brackets their effective number"),
        Column("unscored", RIGHT),
        *(Column(axis.short, RIGHT) for axis in AXES),
    ]
    best = analysis.curves.groupby("reward")["mean"].max()
    rows = []
    for row in analysis.curves.to_dict("records"):
        name = point_name(row, analysis.name(row["curve"])) + (" (derived)" if row["derived"] else "")
        mean = with_interval(row, "mean", "low", "high", row["mean"] == best[row["reward"]])
        rows.append(
            [
                Cell(words(row["reward"])),
                curve_cell(analysis, row["curve"], name),
                mean,
                _n(row),
                Cell(str(row["unscored"])),
                *(Cell(cost(row[axis.column])) for axis in AXES),
            ]
        )
    return shortened(rows, columns, "All points of the curves", files=["curves.csv"], folded=True)


def _n(row: dict[Any, Any]) -> Cell:
    effective = row.get("effective_n")
    return Cell(str(row["n"]), "" if pd.isna(effective) else f"({effective:.3g})")


def matched(analysis: Analysis, frame: pd.DataFrame, unit: str, file: str, folded: bool = False) -> Table:
    """Who wins at equal cost."""
    columns = [
        Column("searched on"),
        Column(f"at {unit}", RIGHT, "where a curve has no point, it is read between two of its points"),
        Column("highest mean", help="among the curves that reach this cost"),
        Column("mean", RIGHT, NUMBER),
        Column("next"),
        Column("lead", RIGHT, "paired difference on the same problems"),
        Column("p", RIGHT, HOLM),
        Column("gain over naive", RIGHT, "paired difference on the same problems"),
        Column("of", RIGHT, "curves compared"),
    ]
    rows = [
        [
            Cell(words(row["reward"])),
            Cell(cost(row["at"])),
            curve_cell(analysis, row["winner"]),
            with_interval(row, "mean", "low", "high"),
            curve_cell(analysis, row["runner_up"]),
            with_interval(row, "lead", "lead_low", "lead_high"),
            Cell(p_value(row["lead_p_holm"]), strong=row["lead_p_holm"] < LEVEL),
            with_interval(row, "gain", "gain_low", "gain_high"),
            Cell(str(row["curves"])),
        ]
        for row in frame.to_dict("records")
    ]
    return shortened(rows, columns, f"The best search at equal {unit}", files=[file], folded=folded)


def compared(analysis: Analysis, largest: bool) -> Table:
    """Points against the baseline; ``largest``: one for each curve, the one that spends most."""
    name = search_name(analysis.baseline)
    columns = [
        Column("searched on"),
        Column("search"),
        Column("NFE", RIGHT),
        Column("difference", RIGHT, f"search less {name} on the same problems, and its 95 % interval"),
        Column("effect", RIGHT, "Cohen's d of the paired differences: their mean over their standard deviation"),
        Column("p", RIGHT, HOLM),
        Column("won", RIGHT, "share of the problems on which the search did better"),
        Column("tied", RIGHT),
        Column("n", RIGHT, "problems that both have scored; in brackets their effective number"),
    ]
    frame = analysis.compared
    if largest:
        keys = ["reward", "search", "settings"]
        shown = pd.MultiIndex.from_frame(analysis.largest[keys])
        frame = frame[pd.MultiIndex.from_frame(frame[keys]).isin(shown) & ~frame["derived"].astype(bool)]
    rows = []
    for row in frame.sort_values(["reward", "difference"], ascending=[True, False]).to_dict("records"):
        text = point_name(row, analysis.name(row["curve"])) + (" (derived)" if row["derived"] else "")
        rows.append(
            [
                Cell(words(row["reward"])),
                curve_cell(analysis, row["curve"], text),
                Cell(cost(row["nfe"])),
                with_interval(row, "difference", "low", "high"),
                Cell(value(row["effect"], 2)),
                Cell(p_value(row["p_holm"]), strong=row["p_holm"] < LEVEL),
                Cell(percent(row["won"])),
                Cell(percent(row["tied"])),
                _n(row),
            ]
        )
    caption = "at its largest budget" if largest else "at every budget"
    files = ["significance.csv"] if largest else []
    return shortened(rows, columns, f"Each search {caption} against {name}", files=files, folded=not largest)


def percent(share: Any) -> str:
    """A share of one in percent."""
    return "–" if pd.isna(share) else f"{100 * share:.0f} %"


def saturation(analysis: Analysis) -> Table:
    """Fitted ceilings."""
    columns = [
        Column("searched on"),
        Column("curve"),
        Column("points", RIGHT),
        Column("ceiling", RIGHT, "a of the fit a - b c^-k, and its 95 % interval"),
        Column("exponent", RIGHT, "k of the fit, and its 95 % interval"),
        Column("reached", RIGHT, "mean at the largest budget"),
        Column("fits", "wrap"),
    ]
    reached = analysis.curves.groupby(["reward", "curve"])["mean"].last()
    rows = [
        [
            Cell(words(row["reward"])),
            curve_cell(analysis, row["curve"]),
            Cell(str(row["points"])),
            with_interval(row, "a", "a_low", "a_high") if row["fits"] else Cell("–"),
            with_interval(row, "k", "k_low", "k_high") if row["fits"] else Cell("–"),
            Cell(value(reached.get((row["reward"], row["curve"])))),
            Cell("yes" if row["fits"] else row["reason"]),
        ]
        for row in analysis.saturation.to_dict("records")
    ]
    folded = not analysis.saturation["fits"].any()
    return shortened(rows, columns, "Fitted curves a − b·NFE^−k", files=["saturation.csv"], folded=folded)


def signed(number: float) -> str:
    """A number of two decimals with its sign."""
    return f"{number:+.2f}".replace("-", "−")


def matrix(analysis: Analysis, frame: pd.DataFrame, caption: str, folded: bool = False) -> Table:
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


def gaps(analysis: Analysis, frame: pd.DataFrame) -> Table:
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


def diversity(analysis: Analysis, frame: pd.DataFrame) -> Table:
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


def frechet(analysis: Analysis, frame: pd.DataFrame) -> Table:
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


def wins(analysis: Analysis, frame: pd.DataFrame) -> Table:
    """How often fresh and moved noises win, over all steps."""
    columns = [
        Column("searched on"),
        Column("search"),
        Column("noise", help="global: a fresh one; local: the best one so far, moved a little"),
        Column("candidates", RIGHT),
        Column("wins", RIGHT, "the search went on from it, or it is the result"),
        Column("wins a candidate", RIGHT),
        Column("of all wins", RIGHT),
    ]
    rows = [
        [
            Cell(words(row["reward"])),
            curve_cell(analysis, row["curve"]),
            Cell(row["kind"]),
            Cell(f"{row['candidates']:,}"),
            Cell(f"{row['wins']:,}"),
            Cell(f"{100 * row['rate']:.1f} %"),
            Cell(percent(row["share"])),
        ]
        for row in frame.to_dict("records")
    ]
    return shortened(rows, columns, "Which noises win, over all steps", files=["trace-wins.csv"])


def errors(failed: pd.DataFrame) -> Table:
    """Why trials have failed, the most frequent reasons first."""
    counts = failed["error"].value_counts()
    rows = [[Cell(str(reason)), Cell(f"{number:,}")] for reason, number in counts.head(20).items()]
    caption = "Reasons of failures" + (f" (20 of {len(counts)} different ones)" if len(counts) > 20 else "")
    return Table(caption, [Column("reason", "wrap"), Column("trials", RIGHT)], rows, files=["errors.csv"])


def pairs(caption: str, items: dict[str, Any]) -> Table:
    """Names and values."""
    rows = [[Cell(name), Cell(found if isinstance(found, str) else json.dumps(found))] for name, found in items.items()]
    return Table(caption, [Column("what"), Column("value", "wrap")], rows)
