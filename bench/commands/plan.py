"""``tts-bench plan``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bench.commands.options import Overrides, out
from tts.errors import SettingError

if TYPE_CHECKING:
    from bench.study.config import RunConfig


def plan(
    config: Annotated[str, typer.Argument(help="A YAML file, or the name of a configuration that ships.")],
    overrides: Overrides = None,
    rate: Annotated[
        float | None, typer.Option(min=1e-9, help="Denoiser forwards per second of one engine, as calibrate prints.")
    ] = None,
    measure: Annotated[bool, typer.Option("--measure", help="Measure the rate here, as calibrate does.")] = False,
    price: Annotated[float | None, typer.Option(min=0, help="Price of an hour of one device, in any currency.")] = None,
    pilot: Annotated[
        str | None, typer.Option(metavar="RUN", help="A run whose spread determines the number of problems.")
    ] = None,
    difference: Annotated[
        float | None, typer.Option(min=1e-12, help="With --pilot: difference of the reward to detect.")
    ] = None,
    baseline: Annotated[str, typer.Option(help="With --pilot: search with which the others are compared.")] = "naive",
) -> None:
    """Predict what a run costs before it starts: trials, forwards, decodes, rewards, disk, time and money.

    The searches run some problems on an engine that computes nothing, so that common work counts once; weights
    need not be on this machine.
    """
    from bench.report.forecast_table import control_lines, lines, points_table, problems_table
    from bench.run.forecast import forecast
    from bench.study.config import load
    from bench.study.controls import controls

    if (pilot is None) != (difference is None):
        raise SettingError("--pilot and --difference go together: a run, and the difference that is to be seen")
    if measure and rate is not None:
        raise SettingError("--rate: --measure finds the rate itself; leave one of them out")
    settings = load(config, overrides)
    after = controls(settings)
    found = forecast(settings)
    if found.points:
        out.print(points_table(found))
        rate = _measured(settings) if measure else rate
    told = [*lines(found, rate, settings.engines.count, price), *control_lines([forecast(each) for each in after])]
    for line in told:
        out.print(line, markup=False, highlight=False, soft_wrap=True)
    if pilot is not None and difference is not None:
        from bench.report.summary import read_trials
        from bench.statistics.power import needed

        out.print(problems_table(needed(read_trials(pilot), difference, baseline), difference))


def _measured(config: RunConfig) -> float:
    """Forwards a second with the run's batch, or with the best one."""
    from bench.study.config import AUTO, with_batch
    from bench.study.study import Study
    from bench.workers.calibration import calibrate

    batch = config.engines.batch
    measured = calibrate(Study(with_batch(config, 1)), None if batch == AUTO else [int(batch)])
    return max(rate.rows_per_second for rate in measured.rates)
