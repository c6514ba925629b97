"""``tts-bench curves``."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.commands.options import out


def curves(
    runs: Annotated[list[str], typer.Argument(help="Results folders or addresses, also of unfinished runs.")],
) -> None:
    """Compute curves.parquet, curves.png and images.png of runs again, and print one table of them all."""
    from bench.report.summary import report

    report([*runs], out)
