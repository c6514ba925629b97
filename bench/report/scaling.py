"""``tts-bench scale``: the same work on growing numbers of engines.

Strong scaling keeps the problems, weak scaling the problems of each engine. Every measurement is written down when it
is made, so that an interrupted study goes on with the next one.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow.parquet as pq
from pyarrow import ArrowException
from rich.console import Console
from rich.table import Table
from scipy.special import stdtrit

from bench.report.scale_plot import figure_scaling
from bench.run.driver import Driver
from bench.run.progress import run_progress
from bench.statistics.curves import parquet
from bench.store.files import check_folder, write_output
from bench.store.row import TrialRow
from bench.study.config import RunConfig
from bench.study.study import Study
from bench.workers.backends import make_pool
from bench.workers.pool import Pool
from tts.engine.requests import EngineCounters
from tts.errors import DataError, EngineError, SettingError
from tts.settings import canonical

MODES = ("strong", "weak")
FIGURES = ("images_per_second", "efficiency", "utilisation", "seconds_per_image", "device_seconds_per_image")


class Plan(NamedTuple):
    """What to measure: modes, numbers of engines, and how often."""

    modes: tuple[str, ...]
    engines: tuple[int, ...]
    repeats: int


@dataclass(frozen=True)
class Measurement:
    """One run of the work, without the engines' start.

    Args:
        mode, engines, repeat: which.
        digest: of the configuration whose work it was; of another one, the file is refused.
        images, nfe: trials finished and forwards spent.
        seconds: from the first trial's start to the last one's end.
        busy_seconds: inside forward passes, summed over engines.
        devices: kinds of device, joined.
    """

    mode: str
    engines: int
    repeat: int
    digest: str
    images: int
    nfe: int
    seconds: float
    busy_seconds: float
    devices: str


@dataclass
class Uncollected:
    """A sink that drops rows: only the work is measured."""

    full: bool = False
    failed: str | None = None

    def add(self, row: TrialRow) -> None:
        """Look for errors only."""
        self.failed = row.error or self.failed

    def tick(self) -> None:
        """Nothing waits."""


def scale(config: RunConfig, plan: Plan, folder: Path, console: Console) -> pd.DataFrame:
    """Measure what is not measured yet; write scaling.parquet, scaling-summary.parquet and scaling.png.

    Args:
        config: the work; its engines' count is replaced.
        folder: where the files go.

    Returns:
        :func:`summary` of all measurements.

    Raises:
        TTSError: a setting cannot be used, an engine failed, or the folder holds another configuration's measurements.
    """
    check_folder(folder)
    digest = _digest(config)
    found = _read(folder / "scaling.parquet", digest)
    for mode in plan.modes:
        for engines in plan.engines:
            known = {m.repeat for m in found if (m.mode, m.engines) == (mode, engines)}
            missing = [repeat for repeat in range(plan.repeats) if repeat not in known]
            if missing:
                console.print(f"{mode} scaling, {engines} engine{'s' * (engines > 1)}", highlight=False)
                for measurement in _measure(config, mode, engines, missing, digest, console):
                    found.append(measurement)
                    write_output(folder / "scaling.parquet", parquet(_frame(found)))
    table = summary(_frame(found))
    write_output(folder / "scaling-summary.parquet", parquet(table))
    buffer = io.BytesIO()
    figure_scaling(table).savefig(buffer, format="png", dpi=160)
    write_output(folder / "scaling.png", buffer.getvalue())
    return table


def _digest(config: RunConfig) -> str:
    """Of the work, and of how it is computed: what changes no result can change every time."""
    how = config.engines.model_dump(mode="json", include={"simulate", "oversupply", "search_on", "gpus"})
    return hashlib.blake2b(canonical([Study(config).digest(), how]).encode(), digest_size=16).hexdigest()


def _read(path: Path, digest: str) -> list[Measurement]:
    if not path.exists():
        return []
    try:
        found = [Measurement(**row) for row in pq.read_table(path).to_pylist()]
    except (OSError, ValueError, TypeError, ArrowException) as error:
        raise DataError(f"{path}: not a file of measurements ({' '.join(str(error).split())}); delete it") from None
    if any(m.digest != digest for m in found):
        raise SettingError(
            f"{path}: belongs to another configuration; choose another folder with --output, or delete it"
        )
    return found


def _frame(found: Iterable[Measurement]) -> pd.DataFrame:
    return pd.DataFrame([asdict(measurement) for measurement in found])


def _measure(
    config: RunConfig, mode: str, engines: int, repeats: list[int], digest: str, console: Console
) -> Iterable[Measurement]:
    """The work, some times over on the same engines."""
    study = _study(config, mode, engines)
    with console.status("starting the engines"):
        pool = make_pool(study)
    with closing(pool):
        there = sum(name is not None for name in pool.describe())
        if there < engines:
            raise EngineError(f"{engines} engines are to be measured, and the cluster has place for {there}")
        before = [EngineCounters() for _ in range(engines)]
        for repeat in repeats:
            with run_progress(console) as progress:
                sink, start = Uncollected(), time.perf_counter()
                counts = Driver(study, pool, sink, progress=progress).run()
                seconds = time.perf_counter() - start
            if sink.failed is not None:
                raise EngineError(f"a trial failed, so that nothing was measured: {sink.failed}")
            lost = [status.loss for status in counts.engines if status.losses]
            if lost:
                raise EngineError(f"an engine was lost, so that nothing was measured: {lost[0]}")
            # an engine that had nothing to do may not have been heard of
            after = [max(status.load, then, key=_rows) for status, then in zip(counts.engines, before, strict=True)]
            busy = sum(now.seconds - then.seconds for now, then in zip(after, before, strict=True))
            before = after
            yield Measurement(mode, engines, repeat, digest, counts.done, counts.nfe, seconds, busy, _devices(pool))


def _rows(load: EngineCounters) -> int:
    return load.rows


def _study(config: RunConfig, mode: str, engines: int) -> Study:
    """The work on some engines, as many times as large in weak scaling."""
    settings = config.engines.model_copy(update={"count": engines, "backend": "ray"})
    seeds = config.problems.seeds * (engines if mode == "weak" else 1)
    problems = config.problems.model_copy(update={"seeds": seeds})
    return Study(config.model_copy(update={"engines": settings, "problems": problems}))


def _devices(pool: Pool) -> str:
    return " + ".join(sorted({name for name in pool.describe() if name is not None}))


def summary(measured: pd.DataFrame) -> pd.DataFrame:
    """One row for each mode and number of engines: means over repeats with 95 % intervals (Student's t).

    Efficiency is throughput over that of the fewest engines, each engine of which counts as 1. Intervals are NaN where
    there is one repeat.
    """
    measured = measured.assign(
        images_per_second=measured["images"] / measured["seconds"],
        utilisation=measured["busy_seconds"] / (measured["seconds"] * measured["engines"]),
        seconds_per_image=measured["seconds"] / measured["images"],
        device_seconds_per_image=measured["seconds"] * measured["engines"] / measured["images"],
    )
    rows = []
    for mode, runs in measured.groupby("mode", sort=True):
        fewest = runs[runs["engines"] == runs["engines"].min()]
        each = (fewest["images_per_second"] / fewest["engines"]).mean()
        runs = runs.assign(efficiency=runs["images_per_second"] / (runs["engines"] * each))
        for engines, group in runs.groupby("engines", sort=True):
            row: dict[str, Any] = {"mode": mode, "engines": engines, "n": len(group), "images": group["images"].iloc[0]}
            for name in FIGURES:
                row |= _interval(name, group[name])
            rows.append({**row, "devices": " + ".join(sorted(set(group["devices"])))})
    return pd.DataFrame(rows)


def _interval(name: str, values: pd.Series[float]) -> dict[str, float]:
    mean, n = float(values.mean()), len(values)
    half = float(stdtrit(n - 1, 0.975) * values.std(ddof=1) / n**0.5) if n > 1 else float("nan")
    return {name: mean, f"{name}_low": mean - half, f"{name}_high": mean + half}


def render(table: pd.DataFrame) -> Table:
    """The summary for people."""
    shown = Table("scaling", "engines", "images/s", "efficiency", "utilisation", "s per image", "device-s per image")
    for row in table.to_dict("records"):
        shown.add_row(
            str(row["mode"]),
            str(row["engines"]),
            _text(row, "images_per_second", 2),
            _text(row, "efficiency", 3),
            _text(row, "utilisation", 3),
            _text(row, "seconds_per_image", 3),
            _text(row, "device_seconds_per_image", 3),
        )
    return shown


def _text(row: dict[Any, Any], name: str, digits: int) -> str:
    mean, half = row[name], row[f"{name}_high"] - row[name]
    return f"{mean:.{digits}f}" + ("" if half != half else f" ± {half:.{digits}f}")


def parse_engines(text: str) -> tuple[int, ...]:
    """Numbers of engines from ``1,2,4,8``.

    Raises:
        SettingError: it is no such list.
    """
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and int(word) for word in words):
        raise SettingError(f"--engines {text}: expected numbers with commas between, for example 1,2,4,8")
    return tuple(sorted({int(word) for word in words}))
