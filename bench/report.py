"""Curves, table and pictures of finished or unfinished runs."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from rich.console import Console

from bench import store
from bench.curves import curves, write_curves
from bench.files import check_folder
from bench.plots import plot_curves, plot_images
from bench.table import render
from bench.trial import canonical


def report(folders: list[Path], console: Console) -> None:
    """Write curves.parquet, curves.png and images.png into each folder, and print a table.

    Runs of the same model, rewards, seed and numerics share one table; others have one of their own.

    Raises:
        DataError: a folder holds no run, or no finished trial.
    """
    frames = [store.read(folder).to_pandas() for folder in folders]
    for folder, frame in zip(folders, frames, strict=True):
        check_folder(folder)
        write_curves_and_pictures(frame, folder)
    for group in _comparable(folders):
        console.print(render(curves(pd.concat([frames[k] for k in group]))))
    for folder in folders:
        pictures = ", images.png" if (folder / "images.png").exists() else ""
        console.print(f"{folder}: curves.parquet, curves.png{pictures}", markup=False, soft_wrap=True)


def _comparable(folders: list[Path]) -> list[list[int]]:
    """Places of the runs whose trials may stand in one table: same model, rewards, seed and numerics."""
    groups: dict[str, list[int]] = {}
    for place, folder in enumerate(folders):
        resolved = store.read_manifest(folder)["resolved"]
        shared = canonical({name: resolved[name] for name in ("model", "rewards", "numerics", "seed")})
        groups.setdefault(shared, []).append(place)
    return list(groups.values())


def write_curves_and_pictures(trials: pd.DataFrame, folder: Path) -> None:
    """Write curves.parquet, curves.png and, if images are stored, images.png."""
    points = curves(trials)
    write_curves(points, folder / "curves.parquet")
    plot_curves(points, folder / "curves.png")
    if trials["image"].notna().any():
        plot_images(trials, folder / "images.png")
