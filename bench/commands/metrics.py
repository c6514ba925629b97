"""``tts-bench metrics``."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.commands.options import Run, err, out


def metrics(
    run: Run,
    add: Annotated[
        list[str] | None,
        typer.Option(
            help="A metric to add, as in a configuration: a name, or '{name: fid, reference: FILE}'; may be repeated."
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="Where extractors compute: auto, cpu, cuda or cuda:N.")] = "auto",
    batch: Annotated[int, typer.Option(min=1, help="Images per batch of an extractor.")] = 64,
    trust: Annotated[
        bool, typer.Option("--trust", help="Allow the run's manifest to name code, files and addresses.")
    ] = False,
) -> None:
    """Add metrics to a run's images: FID, IS, KID, precision, recall and others.

    Images that were not stored are drawn again from their recipes. Features are stored beside the trials, once; after
    an interruption the same command continues. Later reports include the added metrics.
    """
    from bench.report.adding import add_metrics
    from bench.report.metric_table import notes, render
    from bench.run.progress import counted

    with counted(err, "trials") as progress:
        found = add_metrics(run, add or [], device, batch, trust, progress)
    out.print(render(found.values, found.metrics))
    for note in notes(found):
        out.print(note, highlight=False, markup=False, soft_wrap=True)
