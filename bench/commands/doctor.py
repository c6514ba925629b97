"""``tts-bench doctor``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.commands.options import Overrides, err, out


def doctor(
    config: Annotated[
        str, typer.Argument(help="A YAML file, or the name of a configuration that ships.")
    ] = "quickstart",
    overrides: Overrides = None,
    save: Annotated[
        Path | None, typer.Option("--save", metavar="FILE", help="All findings as JSON, to attach to a report.")
    ] = None,
) -> None:
    """Check in about two minutes whether this machine can run a study, and how fast.

    Versions, memory, disk, Ray, the device; at which batches and precisions rows are independent; how far the device
    is from the CPU; the bare network, the engine, and what the host could feed.

    Exit codes: 0 a run works; 4 it fails on this machine, or its results would not be reproducible.
    """
    import json

    from bench.report.doctor_table import record, render, sentence
    from bench.run.doctor.examination import examine
    from bench.run.doctor.finding import Verdict
    from bench.store.files import check_file, write_output
    from bench.study.config import load, with_some_batch
    from bench.study.study import Study

    if save is not None:
        check_file(save, "--save")
    study = Study(with_some_batch(load(config, overrides)))
    with err.status("looking") as status:
        found = list(examine(study, lambda what: status.update(f"looking at {what}")))
    out.print(render(found))
    out.print(sentence(found), markup=False, highlight=False, soft_wrap=True)
    if save is not None:
        write_output(save, json.dumps(record(found), indent=2).encode(), "--save")
    if any(each.verdict is Verdict.BAD for each in found):
        raise typer.Exit(4)
