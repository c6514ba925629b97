"""Curves, table and pictures of finished or unfinished runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console

from bench.report.grid import figure_images, pictured
from bench.report.metrics import FILE as METRICS_FILE
from bench.report.metrics import write_metrics
from bench.report.plots import figure_curves, png
from bench.report.table import render, render_gains
from bench.statistics.comparisons import compare_to
from bench.statistics.curves import curves, parquet
from bench.statistics.intervals import Over
from bench.store import reader as store
from bench.store.images import kept, opened
from bench.store.reader import check_output
from bench.store.schema import known, without_images
from bench.store.storage import Output, Storage, place
from tts.errors import DataError, SettingError
from tts.settings import canonical

FILES = ("curves.parquet", "curves.png", "images.png", METRICS_FILE)


def report(
    outputs: Sequence[Output],
    console: Console,
    over: Over = "problems",
    baseline: str | None = None,
    trust: bool = False,
) -> int:
    """Write curves.parquet, curves.png, images.png and metrics.parquet beside each run, and print a table.

    Runs of the same model, rewards, seed and numerics share one table; others have one of their own.

    Args:
        outputs: the runs.
        console: where the tables go.
        over: what intervals are over: these problems, or conditions like these.
        baseline: a search over which the gains of the others are printed, too.
        trust: manifests may name metrics that are code of their own.

    Returns:
        How many trials have failed.

    Raises:
        DataError: there is no run, or no finished trial.
        SettingError: no trial of the baseline, or files cannot be written.
    """
    places = [place(output) for output in outputs]
    frames = [read_trials(where) for where in places]
    said = []
    for where, frame in zip(places, frames, strict=True):
        check_output(where)
        write_curves_and_pictures(frame, where, where, over)
        said.append(write_metrics(frame, where, where, trust))
    for group in comparable(places):
        trials = pd.concat([frames[k] for k in group])
        console.print(render(curves(trials, over=over)))
        if baseline is not None:
            console.print(render_gains(compare_to(trials, baseline, over=over), baseline))
    for where, frame, of_metrics in zip(places, frames, said, strict=True):
        files = [name for name in FILES if name in where.names()]
        console.print(f"{where}: {', '.join(files) or 'no trial is finished'}", markup=False, soft_wrap=True)
        for note in (*notes(frame), *of_metrics):
            console.print(note, style="yellow", markup=False, soft_wrap=True)
    return sum(int(frame["error"].notna().sum()) for frame in frames)


def failures(output: Output) -> int:
    """How many of a run's stored trials have failed."""
    errors = store.read(output, ["trial", "error"])
    return len(errors) - int(errors["error"].null_count)


def read_trials(output: Output) -> pd.DataFrame:
    """A run's trials without their images and recipes, each once; columns that no run of ours has are left out.

    Raises:
        DataError: there is no run, or no finished trial.
    """
    names = [name for name in without_images(known(store.columns(output))) if name != "noises"]
    frame: pd.DataFrame = store.read(output, names).to_pandas()
    return frame.drop_duplicates("trial", ignore_index=True)


def notes(trials: pd.DataFrame) -> list[str]:
    """Notes on a run's curves for their reader."""
    failed = trials["error"].dropna()
    devices = sorted(trials["device"].dropna().unique())
    found = []
    if len(failed):
        found.append(f"{len(failed)} trials failed and are in no curve; the first: {failed.iloc[0]}")
    if len(devices) > 1:
        found.append(
            f"computed on {len(devices)} kinds of devices ({', '.join(devices)}): values may differ in the last digits "
            "from one to another, and device-seconds are not comparable"
        )
    return found


def comparable(outputs: Sequence[Output]) -> list[list[int]]:
    """Places of the runs whose trials may stand in one table: same model, rewards, seed and numerics."""
    groups: dict[str, list[int]] = {}
    for number, output in enumerate(outputs):
        resolved = store.read_manifest(output).get("resolved") or {}
        shared = canonical({name: resolved.get(name) for name in ("model", "rewards", "numerics", "seed")})
        groups.setdefault(shared, []).append(number)
    return list(groups.values())


def write_curves_and_pictures(trials: pd.DataFrame, source: Output, to: Storage, over: Over = "problems") -> None:
    """Write curves.parquet and, if there is any value, curves.png, and, if images are kept, images.png.

    Args:
        trials: of a run, without images.
        source: the run, where its images are.
        to: where the files go.
        over: what intervals are over.

    Raises:
        SettingError: they cannot be written.
    """
    trials = trials[trials["error"].isna()]
    if trials.empty:
        return
    points = curves(trials, store.read_manifest(source).get("flops"), over=over)
    files = {"curves.parquet": parquet(points)}
    if points["mean"].notna().any():
        files["curves.png"] = png(figure_curves(points))
    shown = _with_images(trials, source)
    if shown["image"].notna().any():
        files["images.png"] = png(figure_images(shown))
    try:
        for name, content in files.items():
            to.write(name, content)
    except OSError as error:
        raise SettingError(f"output {to}: cannot be written to ({error.strerror or error})") from None


def _with_images(trials: pd.DataFrame, source: Output) -> pd.DataFrame:
    """The trials with those images that are drawn."""
    images = shown_images(source, trials[trials["trial"].isin(pictured(trials))])
    return trials.assign(image=trials["trial"].map(images))


def shown_images(source: Output, trials: pd.DataFrame) -> dict[str, bytes | None]:
    """Images of some trials of a run, to be drawn.

    Raises:
        DataError: one is damaged, or no image.
    """
    found = read_images(source, trials)
    for trial, image in found.items():
        try:
            if image is not None:
                opened(image)
        except OSError as error:
            raise DataError(f"{place(source)}: the image of trial {trial} is damaged ({error})") from None
    return found


def read_images(source: Output, trials: pd.DataFrame) -> dict[str, bytes | None]:
    """Images of some trials of a run; arguments and errors are those of :func:`each_image`."""
    return dict(each_image(source, trials))


def each_image(source: Output, trials: pd.DataFrame) -> Iterator[tuple[str, bytes | None]]:
    """Images of some trials of a run, from their rows or their files, in the order of its parts; None: not kept.

    Only the parts that hold them are read, each once.

    Args:
        source: the run.
        trials: ``trial``.

    Raises:
        DataError: a file cannot be read.
    """
    where, wanted = place(source), pa.array(trials["trial"], pa.string())
    for part in store.parts(where):
        names = store.table(source, ["trial"], of=[part])
        if names is not None and pc.any(pc.is_in(names["trial"], wanted)).as_py():
            found = store.table(source, ["trial", "image", "image_file"], pc.field("trial").isin(wanted), of=[part])
            assert found is not None  # it has just been read
            for row in found.to_pylist():
                yield row["trial"], kept(where, row)
