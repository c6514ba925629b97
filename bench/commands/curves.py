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
) -> None:
    """Compute curves.parquet, curves.png and images.png of runs again, and print one table of them all."""
    from bench.report.summary import report

    report([*runs], out, over.value, baseline)
