"""``tts-bench curves``."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.commands.options import Over, Spread, out


def curves(
    runs: Annotated[list[str], typer.Argument(help="Results folders or addresses, also of unfinished runs.")],
    baseline: Annotated[str | None, typer.Option(help="Search to which the printed gains refer.")] = None,
    over: Spread = Over.problems,
    trust: Annotated[
        bool, typer.Option("--trust", help="Allow the runs' manifests to name metrics that are code.")
    ] = False,
) -> None:
    """Compute curves.parquet, curves.png, images.png and metrics.parquet again, and print one table of all runs."""
    from bench.report.summary import report

    report([*runs], out, over.value, baseline, trust)
