"""``tts-bench replay``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.commands.options import Run, out


def replay(
    run: Run,
    trial: Annotated[str, typer.Argument(help="The trial's identity (column 'trial'), or its first digits.")],
    output: Annotated[Path | None, typer.Option(help="PNG file to write.")] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Allow the run's manifest to name code, files and addresses.")
    ] = False,
) -> None:
    """Draw a trial's image again from its row, and compare it with the stored one; exit code 1 if they differ."""
    from bench.run.replay import replay as replay_trial
    from bench.store.files import check_file, write_output

    if output is not None:
        check_file(output)
    result = replay_trial(run, trial, trust)
    if output is not None:
        write_output(output, result.image)
    for name, value in result.scores.items():
        out.print(f"{name}: {value} (stored: {result.row[f'score_{name}']})", highlight=False)
    if result.identical is None:
        out.print("neither an image nor its digest is stored to compare with")
    else:
        out.print(
            "the image is identical to the stored one" if result.identical else "the image differs from the stored one"
        )
    if result.identical is False or any(value != result.row[f"score_{name}"] for name, value in result.scores.items()):
        raise typer.Exit(1)
