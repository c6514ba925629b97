"""The folder beside the page: every figure as PNG and SVG, every table as CSV."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
from matplotlib.figure import Figure

from bench.report.grid import figure_images
from bench.report.html.analysis import SEARCHED, Analysis
from bench.report.html.charts import axes, words
from bench.report.html.sections import doublings, local_share, pictures, step_axis
from bench.report.plots import NFE, Axis, figure_curves, png, svg
from bench.statistics.curves import count_text


def files(analysis: Analysis) -> Iterator[tuple[str, bytes]]:
    """Names and contents; one at a time, since pictures are large."""
    if len(analysis.failed):
        yield "errors.csv", _csv(analysis.failed[["trial", "reward", "search", "settings", "label", "seed", "error"]])
    if analysis.finished.empty:
        return
    yield from _curves(analysis)
    yield from _statistics(analysis)
    yield from _hacking(analysis)
    if any(analysis.images.values()):
        shown = pictures(analysis)
        for reward in analysis.rewards:  # no SVG: they are all pixels
            yield f"images-{reward.replace('_', '-')}.png", png(figure_images(shown, reward))
    yield from _trace(analysis)


def _curves(analysis: Analysis) -> Iterator[tuple[str, bytes]]:
    scored = [
        frame.assign(scored_on=frame["reward"] if name == SEARCHED else name) for name, frame in analysis.scored.items()
    ]
    yield "curves.csv", _csv(pd.concat(scored).drop_duplicates(["reward", "search", "settings", "budget", "scored_on"]))
    for axis in axes(analysis.curves):
        title = f"Reward against {axis.short}, {count_text(analysis.curves)}"
        yield from _figure(f"curves-{axis.column.replace('_', '-')}", figure_curves(analysis.curves, axis, title))
    for name, frame in analysis.scored.items():
        if name != SEARCHED and frame["mean"].notna().any():
            title = f"Scored on {words(name)}: searched on ..."
            value = f"mean {words(name)}, 95 % interval"
            yield from _figure(f"curves-on-{name.replace('_', '-')}", figure_curves(frame, NFE, title, value))


def _statistics(analysis: Analysis) -> Iterator[tuple[str, bytes]]:
    tables = {
        "matched-nfe": analysis.matched,
        **{f"matched-{axis.replace('_', '-')}": frame for axis, frame in analysis.matched_times.items()},
        "significance": analysis.compared,
        "returns": analysis.returns,
        "saturation": analysis.saturation,
    }
    for name, frame in tables.items():
        if len(frame):
            yield f"{name}.csv", _csv(frame)
    gains = doublings(analysis) if len(analysis.returns) else analysis.returns
    if len(gains):
        yield from _figure(
            "returns", figure_curves(gains, NFE, "What a doubling of the compute brings", "gain per doubling")
        )


def _hacking(analysis: Analysis) -> Iterator[tuple[str, bytes]]:
    if len(analysis.matrix):
        yield "scores.csv", _csv(analysis.matrix)
    if analysis.gaps is not None:
        yield "prediction-gap.csv", _csv(analysis.gaps)
    if not isinstance(analysis.features, str):
        if analysis.features.diversity["distance"].notna().any():
            yield "diversity.csv", _csv(analysis.features.diversity)
        if analysis.features.frechet is not None:
            yield "frechet.csv", _csv(analysis.features.frechet)


def _trace(analysis: Analysis) -> Iterator[tuple[str, bytes]]:
    found = analysis.trace
    if found is None:
        return
    steps = step_axis(analysis.levels)
    yield from _traced("so-far", found.so_far, NFE, "Inside a trial", "best reward so far", markers=False)
    yield from _traced("gain", found.gain, steps, "Where the gain arises", "rise of the best reward")
    shares = local_share(found.wins)
    if len(shares):
        yield from _traced("wins-by-step", shares, steps, "How often a moved noise wins", "local share of wins")
    if len(found.all_wins):
        yield "trace-wins.csv", _csv(found.all_wins)


def _traced(
    name: str, frame: pd.DataFrame, axis: Axis, title: str, value: str, markers: bool = True
) -> Iterator[tuple[str, bytes]]:
    yield f"trace-{name}.csv", _csv(frame)
    yield from _figure(f"trace-{name}", figure_curves(frame, axis, title, value, markers))


def _figure(name: str, figure: Figure) -> Iterator[tuple[str, bytes]]:
    yield f"{name}.png", png(figure)
    figure.set_layout_engine("none")  # everything has its place by now
    yield f"{name}.svg", svg(figure)


def _csv(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(index=False).encode()
