"""``tts-bench scale``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bench.commands.options import Overrides, log


class ScalingMode(StrEnum):
    """What grows with the engines."""

    strong = "strong"
    weak = "weak"
    both = "both"


def scale(
    config: Annotated[str, typer.Argument(help="The work: a YAML file, or the name of a configuration that ships.")],
    engines: Annotated[str, typer.Option(help="Numbers of engines.")] = "1,2,4,8",
    mode: Annotated[
        ScalingMode, typer.Option(help="strong: the same problems; weak: the same problems for each engine.")
    ] = ScalingMode.both,
    repeats: Annotated[int, typer.Option(min=1, help="Runs of each, for the intervals.")] = 3,
    output: Annotated[Path, typer.Option(help="Folder for tables and plot.")] = Path("results/scaling"),
    overrides: Overrides = None,
) -> None:
    """Measure the same work on growing numbers of engines: throughput, efficiency, utilisation, device-seconds.

    With --set engines.simulate=SECONDS no model is needed: each forward pass sleeps so long, to plan before GPUs are
    rented.
    """
    from bench.report.scaling import MODES, Plan, parse_engines, render
    from bench.report.scaling import scale as run_scale
    from bench.study.config import load

    modes = MODES if mode is ScalingMode.both else (mode.value,)
    settings = load(config, [*(overrides or []), "images=false"])
    log.print(render(run_scale(settings, Plan(modes, parse_engines(engines), repeats), output, log)))
    log.print(f"{output}: scaling.parquet, scaling-summary.parquet, scaling.png", markup=False, soft_wrap=True)
