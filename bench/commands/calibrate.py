"""``tts-bench calibrate``."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.commands.options import Overrides, out
from tts.errors import SettingError


def calibrate(
    config: Annotated[str, typer.Argument(help="A YAML file, or the name of a configuration that ships.")],
    overrides: Overrides = None,
    batches: Annotated[
        str | None, typer.Option(metavar="N,N,...", help="Batch sizes; default: powers of two while the rate grows.")
    ] = None,
    precisions: Annotated[
        bool,
        typer.Option("--precisions", help="What each precision of the model changes in images and rewards instead."),
    ] = False,
    trajectories: Annotated[
        int | None, typer.Option(min=2, help="With --precisions: how many are drawn in each; default: 32.")
    ] = None,
) -> None:
    """Measure rows/s and memory by batch size, on the configuration's model, device and threads; name the best one.

    With engines.batch: auto, tts-bench run does so itself when a run begins. With --precisions the same trajectories
    are drawn in float32, float16, bfloat16 and with weights in 8 bits: the largest differences of images and rewards,
    and whether rewards still come in the same order (rank correlation), on which a search's choices depend.
    """
    if precisions:
        if batches is not None:
            raise SettingError("--batches: --precisions measures no batch sizes; leave one of them out")
        _precisions(config, overrides, trajectories)
        return
    if trajectories is not None:
        raise SettingError(f"--trajectories {trajectories}: are drawn for --precisions only; set it, or leave it out")
    from bench.study.config import load, with_batch
    from bench.study.study import Study
    from bench.workers.calibration import calibrate as measure
    from bench.workers.calibration import parse_batches

    sizes = None if batches is None else parse_batches(batches)
    found = measure(Study(with_batch(load(config, overrides), 1)), sizes)
    out.print(found.table(f"{config} on {found.device}"))
    out.print(f"engines.batch: {found.batch}", highlight=False)


def _precisions(config: str, overrides: Overrides, given: int | None) -> None:
    from bench.report.precision_table import render
    from bench.run.precisions import TRAJECTORIES, effects
    from bench.study.config import load, with_some_batch
    from bench.study.study import Study

    study, trajectories = Study(with_some_batch(load(config, overrides))), given or TRAJECTORIES
    with out.status("drawing") as status:
        told = list(effects(study, trajectories, lambda name: status.update(f"drawing in {name}")))
    out.print(render(told, trajectories))
