"""``tts-bench calibrate``."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.commands.options import Overrides, out


def calibrate(
    config: Annotated[str, typer.Argument(help="A YAML file, or the name of a configuration that ships.")],
    overrides: Overrides = None,
    batches: Annotated[
        str | None, typer.Option(metavar="N,N,...", help="Sizes; left out: powers of two while they bring something.")
    ] = None,
) -> None:
    """Measure rows/s and memory by batch size, on the configuration's model, device and threads; name the best one.

    With engines.batch: auto, tts-bench run does so itself when a run begins.
    """
    from bench.study.config import load
    from bench.study.study import Study
    from bench.workers.calibration import calibrate as measure
    from bench.workers.calibration import parse_batches, with_batch

    sizes = None if batches is None else parse_batches(batches)
    found = measure(Study(with_batch(load(config, overrides), 1)), sizes)
    out.print(found.table(f"{config} on {found.device}"))
    out.print(f"engines.batch: {found.batch}", highlight=False)
