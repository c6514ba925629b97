"""``tts-bench tabulate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.commands.options import Overrides, err, log


def tabulate(
    target: Annotated[str, typer.Argument(help="A configuration, or the folder of a run.")],
    candidates: Annotated[int, typer.Option(min=1, help="Trajectories of each problem.")] = 16,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Parquet file; default: table.parquet in RUN-table.")
    ] = None,
    overrides: Overrides = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Allow the run's manifest to name code, files and addresses.")
    ] = False,
) -> None:
    """Record the rewards along trajectories as a table, on which policies are replayed in seconds.

    The trajectories are a run of their own beside the table, in recording/: the same command goes on with it after an
    interruption. Then: model: {name: table, path: FILE}.

    Exit codes: 0 done; 1 no engine is left; 2 a setting is wrong; 3 some trajectories have failed, and are left out;
    129, 130 and 143 stopped as its terminal was closed, by Ctrl-C or by SIGTERM.
    """
    from bench.run.signals import Interrupted, gently
    from bench.run.tabulate import tabulate as make_table

    try:
        with gently(err):
            found = make_table(target, candidates, output, overrides or [], trust, log)
    except KeyboardInterrupt as stop:
        err.print("stopped; what was recorded is stored, and the same command goes on from there")
        raise typer.Exit(stop.code if isinstance(stop, Interrupted) else 130) from None
    size = found.file.stat().st_size / 1e6
    log.print(f"{found.file}: {found.trajectories:,} trajectories, {size:.1f} MB", markup=False, soft_wrap=True)
    if found.failed:
        err.print(f"{found.failed:,} trajectories have failed, and are left out", style="yellow")
        raise typer.Exit(3)
