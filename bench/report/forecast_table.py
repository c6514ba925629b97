"""The output of ``tts-bench plan``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

import pandas as pd
from rich import box
from rich.table import Table
from rich.text import Text

from bench.report.html.names import search_name, settings_text
from bench.run.forecast import Forecast

LOW = 0.8
"""Share of rows that are no padding below which a smaller batch is proposed."""

BYTES_A_PIXEL = 2.25
"""Bytes of a pixel in a PNG of a natural image."""


def points_table(found: Forecast) -> Table:
    """A row for each point of the curves."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("search", "settings"):
        table.add_column(name, overflow="fold")
    for name in ("trials", "forwards a trial", "decodes", "rewards", "in a row"):
        table.add_column(name, justify="right", no_wrap=True)
    for point in found.points:
        about = "" if point.exact else "about "
        numbers = (point.decodes, point.reward_calls)
        table.add_row(
            Text(search_name(point.search)),
            Text(settings_text(point.settings)),
            f"{point.trials:,}",
            f"{about}{point.nfe:,.0f}",
            *(f"{number:,.0f}" for number in numbers),
            f"{point.depth:,}",
        )
    return table


def lines(found: Forecast, rate: float | None, engines: int, price: float | None) -> Iterator[str]:
    """The whole run, a line each.

    Args:
        found: what it costs.
        rate: denoiser forwards a second of one engine; None: not known.
        engines: of the run.
        price: of a device's hour; None: not known.
    """
    if not found.trials:
        yield f"trials: 0 of {found.problems:,} problems; there are fewer trials than shards, so this one ends at once"
        return
    about = "" if found.exact else "about "
    guess = about or ("about " if found.shared else "")
    saved = 1 - found.computed / found.charged if found.charged else 0.0
    yield f"trials: {found.trials:,} of {found.problems:,} problems"
    yield (
        f"forwards: {guess}{found.computed:,} to compute ({about}{found.charged:,.0f} that rows will tell of; "
        f"{100 * saved:.0f} % are common to several trials)"
    )
    yield f"decodes: {found.decodes:,}; rewards: {found.reward_calls:,} (before common work is counted once)"
    kilobytes = BYTES_A_PIXEL * 512**2 / 1e3
    yield (
        f"on disk: {found.row_bytes / 1e6:,.1f} MB without images, and {found.trials:,} images, if they are kept "
        f"(as PNG some 2 kB at 32 px, {kilobytes:.0f} kB at 512 px)"
    )
    yield f"longest chain: {found.depth:,} forwards, one after another"
    if found.useful_engines is not None:
        yield f"engines that help: up to {found.useful_engines:,} with full batches of {found.batch}"
    fill = found.fill(engines)
    if fill is not None and fill < LOW:
        yield (
            f"padding: at least {100 * (1 - fill):.0f} % of the rows of passes, since this run has too few trials at a "
            f"time for {engines:,} engine{'s' if engines > 1 else ''} with batches of {found.batch}; "
            f"set engines.batch={found.full_batch(engines)}"
        )
    if rate is None:
        yield "time: not known; give --rate (forwards a second of one engine), or have it measured with --measure"
        return
    yield from _time(found, rate, engines, price)


def control_lines(found: Sequence[Forecast]) -> Iterator[str]:
    """The cost of the control: plain samples with more steps, a run for each number of steps."""
    found = [one for one in found if one.trials]
    if found:
        trials, computed = (sum(each) for each in zip(*((one.trials, one.computed) for one in found), strict=True))
        costs = ", ".join(f"{one.points[0].nfe:,.0f}" for one in found)
        yield (
            f"besides, compute: more-steps: {trials:,} trials in {len(found)} run{'s' if len(found) > 1 else ''} of "
            f"plain samples, {computed:,} forwards ({costs} a trial)"
        )


def _time(found: Forecast, rate: float, engines: int, price: float | None) -> Iterator[str]:
    device_hours = found.hours(rate)
    speed = f"{rate:,.1f}" if rate >= 1 else f"{rate:.3g}"
    yield (
        f"time: {_hours(found.hours(rate, engines))} on {engines:,} engine{'s' if engines > 1 else ''}, "
        f"{device_hours:,.2f} device-hours at {speed} forwards a second"
    )
    if price is not None:
        yield f"price: {device_hours * price:,.2f} at {price:g} a device-hour"


def _hours(hours: float) -> str:
    if hours >= timedelta.max // timedelta(hours=1):
        return f"{hours / 24:,.0f} days"
    return str(timedelta(seconds=round(3600 * hours)))


def problems_table(needed: pd.DataFrame, difference: float) -> Table:
    """How many problems each point needs."""
    table = Table(title=f"problems to see a difference of {difference:g} (80 %)", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("searched on", "curve", "budget"):
        table.add_column(name, overflow="fold")
    for name in ("in the pilot", "difference there", "spread", "problems"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in needed.to_dict("records"):
        budget = "" if pd.isna(row["budget_value"]) else f"{row['budget']} = {row['budget_value']:g}"
        numbers = (f"{row['n']}", f"{row['difference']:+.3g}", f"{row['spread']:.3g}", f"{row['problems']:,}")
        names = (str(row["reward"]), str(row["curve"]), budget)
        table.add_row(*map(Text, names), *numbers)
    return table
