"""``tts-bench curves``."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.commands.options import Over, Spread, out


def curves(
    runs: Annotated[list[str], typer.Argument(help="Results folders or addresses, also of unfinished runs.")],
    baseline: Annotated[
        str | None, typer.Option(help="Search over which the gains of the others are printed, too.")
    ] = None,
    over: Spread = Over.problems,
    trust: Annotated[
        bool, typer.Option("--trust", help="The runs' manifests may name metrics that are code of their own.")
    ] = False,
) -> None:
    """Compute curves.parquet, curves.png, images.png and metrics.parquet again, and print one table of all runs."""
    from bench.report.summary import report

    report([*runs], out, over.value, baseline, trust)
