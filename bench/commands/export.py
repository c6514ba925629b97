"""``tts-bench export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.commands.options import Run, err, out
from tts.errors import SettingError

HUB = "With --to"
UNKNOWN = "unknown"


def export(
    run: Run,
    folder: Annotated[Path | None, typer.Argument(help="New folder; or give --to.")] = None,
    images: Annotated[bool, typer.Option(help="Keep the images in the rows.")] = True,
    npz: Annotated[
        bool, typer.Option("--npz", help="Write images alone: a .npz a point, arr_0 uint8 [N, H, W, 3], as ADM's.")
    ] = False,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE", help="A folder, or hf://datasets/OWNER/NAME on the hub; it gets a data card, too."
        ),
    ] = None,
    license: Annotated[
        str, typer.Option(metavar="ID", help="Licence of the data, in the hub's form: cc-by-4.0.", rich_help_panel=HUB)
    ] = UNKNOWN,
    public: Annotated[
        bool, typer.Option("--public", help="Make a new repository public instead of private.", rich_help_panel=HUB)
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace everything in the repository.", rich_help_panel=HUB)
    ] = False,
) -> None:
    """Copy a run into a small folder to share: one part, curves, pictures; images can be left out.

    With --to it becomes a data set with a card that explains it. To upload it, sign in (hf auth login) or
    set HF_TOKEN in the environment.
    """
    if (folder is None) == (to is None):
        raise SettingError("export: give a folder, or --to PLACE")
    if to is not None:
        if npz:
            raise SettingError("--npz: images alone have no card; give a folder in place of --to")
        from bench.report.publish import Options, publish

        found = publish(run, to, Options(images, license, public, overwrite))
        for name in found.names:
            note = f"its manifest names something of this machine: {name}"
            err.print(note, style="yellow", markup=False, highlight=False, soft_wrap=True)
        out.print(f"{found.place}: {found.rows} trials", markup=False, highlight=False, soft_wrap=True)
        return
    assert folder is not None  # one of them is given
    if public or overwrite or license != UNKNOWN:
        raise SettingError("--license, --public, --overwrite: are of a data set; give --to PLACE in place of a folder")
    if npz:
        if not images:
            raise SettingError("--no-images: --npz writes images and nothing else; leave one of them out")
        from bench.report.npz import export_npz

        for path, count in export_npz(run, folder).items():
            out.print(f"{path}: {count:,} images", markup=False, highlight=False, soft_wrap=True)
        return
    from bench.report.export import export as export_run

    rows = export_run(run, folder, images)
    out.print(f"{folder}: {rows} trials", markup=False, soft_wrap=True)
