"""``tts-bench export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.commands.options import Run, out


def export(
    run: Run,
    folder: Annotated[Path, typer.Argument(help="New folder.")],
    images: Annotated[bool, typer.Option(help="Keep the images in the rows.")] = True,
    npz: Annotated[
        bool, typer.Option("--npz", help="Write images alone: a .npz a point, arr_0 uint8 [N, H, W, 3], as ADM's.")
    ] = False,
) -> None:
    """Copy a run into a small folder to hand on: one part, curves, pictures; images can be left out."""
    if npz:
        from bench.report.npz import export_npz

        for path, count in export_npz(run, folder).items():
            out.print(f"{path}: {count:,} images", markup=False, highlight=False, soft_wrap=True)
        return
    from bench.report.export import export as export_run

    rows = export_run(run, folder, images)
    out.print(f"{folder}: {rows} trials", markup=False, soft_wrap=True)
