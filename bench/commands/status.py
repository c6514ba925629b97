"""``tts-bench status``."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.commands.options import Run, out


def status(
    run: Run,
    follow: Annotated[bool, typer.Option("--follow", help="Update every few seconds until the run is done.")] = False,
) -> None:
    """Show a run's progress: done, failed, rate, time left, each engine."""
    from bench.run.status import follow as follow_status
    from bench.run.status import show

    (follow_status if follow else show)(run, out)
