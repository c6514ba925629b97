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


def report(folders: list[Path], console: Console) -> None:
    """Write curves.parquet, curves.png and images.png into each folder, and print one table of all runs.

    Raises:
        DataError: a folder holds no run, or no finished trial.
    """
    frames = [store.read(folder).to_pandas() for folder in folders]
    for folder, frame in zip(folders, frames, strict=True):
        check_folder(folder)
        write_curves_and_pictures(frame, folder)
    everything = pd.concat(frames).drop_duplicates("trial")
    console.print(render(curves(everything)))
    for folder in folders:
        pictures = ", images.png" if (folder / "images.png").exists() else ""
        console.print(f"{folder}: curves.parquet, curves.png{pictures}", markup=False, soft_wrap=True)


def write_curves_and_pictures(trials: pd.DataFrame, folder: Path) -> None:
    """Write curves.parquet, curves.png and, if images are stored, images.png."""
    points = curves(trials)
    write_curves(points, folder / "curves.parquet")
    plot_curves(points, folder / "curves.png")
    if trials["image"].notna().any():
        plot_images(trials, folder / "images.png")
