"""``tts-bench run``."""

from __future__ import annotations

from json import dumps
from typing import Annotated

import typer

from bench.commands.options import Overrides, err, log


def run(
    config: Annotated[
        str, typer.Argument(help="A YAML file, or the name of a configuration that ships: quickstart, ...")
    ],
    overrides: Overrides = None,
    address: Annotated[
        str | None, typer.Option(help="Ray cluster to use, HOST:PORT; the same as --set engines.address=HOST:PORT.")
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(metavar="I/N", help="Every N-th trial from I on (0 to N-1); shards share one output."),
    ] = None,
    retry_errors: Annotated[bool, typer.Option("--retry-errors", help="Run failed trials again.")] = False,
    summary: Annotated[
        bool, typer.Option("--report/--no-report", help="Print the table and draw the plots at the end.")
    ] = True,
    errors_ok: Annotated[
        bool, typer.Option("--errors-ok", help="Exit code 0 instead of 3 if trials failed; for job queues.")
    ] = False,
) -> None:
    """Start or resume a study; then print its table and draw its plots.

    Runs side by side that share an output need only one table at the end: --no-report leaves it out.

    Exit codes: 0 done; 1 no engine is left; 2 a setting is wrong; 3 done, but some trials have failed; 129, 130
    and 143 stopped as its terminal was closed, by Ctrl-C or by SIGTERM, everything finished is stored.
    """
    from bench.report.controls import with_controls
    from bench.report.summary import failures, report
    from bench.run.signals import Interrupted, gently
    from bench.run.start import run as run_study
    from bench.study.config import load
    from bench.study.controls import controls

    given = {"engines.address": address, "shard": shard}
    settings = load(config, [*(overrides or []), *(f"{key}={dumps(value)}" for key, value in given.items() if value)])
    after = controls(settings)
    try:
        with gently(err):
            finished = run_study(settings, log, retry_errors)
            for control in after:
                run_study(control, log, retry_errors)
    except KeyboardInterrupt as stop:
        err.print("stopped; what was finished is stored, and the same command goes on from there")
        raise typer.Exit(stop.code if isinstance(stop, Interrupted) else 130) from None
    if not finished.study.shard_size:
        log.print(f"shard {settings.shard}: has no trials; there are fewer of them than shards", highlight=False)
        return
    runs = with_controls([settings.output])
    failed = report(runs, log, trust=True) if summary else sum(failures(run) for run in runs)
    if summary:
        log.print(f"all of it on one page: tts-bench report {settings.output}", markup=False, soft_wrap=True)
    if failed and not errors_ok:
        raise typer.Exit(3)
