"""``make bench``: what the harness costs over the bare network; with ``--help`` the list of its parts."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from bench.benchmarks import against_loop, fullness, host_path, noise_rates, on_engines, on_gpu, on_harness
from bench.benchmarks.app import RESULTS, Full, Output, app, out, save
from bench.benchmarks.coverage import REWARDS, SIZES, covered
from bench.benchmarks.reporting import report_of
from bench.commands.app import call


@app.command()
def reporting(
    trials: Annotated[int, typer.Option(help="Trials of the run.")] = 100_000,
    output: Output = RESULTS,
) -> None:
    """How long tts-bench report takes for a large run, its memory, and the size of the page."""
    found = report_of(trials)
    out.print(
        f"{found.trials:,} trials: {found.seconds:.1f} s ({found.cpu_seconds:.1f} s of them computing), "
        f"{found.mebibytes:.0f} MiB at most, a page of {found.megabytes:.1f} MB and {found.files} files beside it"
    )
    save(output / "reporting.json", [asdict(found)])


@app.command()
def coverage(
    repetitions: Annotated[int, typer.Option(help="Simulated runs of each kind.")] = 2000,
    output: Output = RESULTS,
) -> None:
    """How often 95 % intervals hold the mean of simulated rewards; 93 to 97 of 100 is right."""
    table = Table("reward", "n", "covered", "wholly below", "wholly above", "mean width", "s", title="Coverage")
    records = [covered(reward, n, repetitions) for reward in REWARDS for n in SIZES]
    for found in records:
        shares = [f"{100 * share:.2f} %" for share in (found.share, found.below, found.above)]
        table.add_row(found.reward, str(found.n), *shares, f"{found.width:.3f}", f"{found.seconds:.1f}")
    out.print(table)
    save(output / "coverage.json", [asdict(found) for found in records])


@app.command("all")
def everything(full: Full = False, output: Output = RESULTS) -> None:
    """Every benchmark at its defaults; with --full at larger sizes."""
    import torch

    if torch.cuda.is_available():
        on_gpu.gpu(output=output)
    on_harness.startup(output=output)
    on_engines.bare(output=output)
    on_engines.efficiency(full=full, output=output)
    fullness.fullness(output=output)
    on_engines.one_at_a_time(full=full, output=output)
    against_loop.against_loop(output=output)
    on_engines.ray_cost(output=output)
    on_engines.profile(output=output)
    on_engines.trace(output=output)
    on_harness.shared_work(output=output)
    on_harness.driver(full=full, output=output)
    on_harness.simulated(full=full, output=output)
    on_harness.awaiting(output=output)
    noise_rates.noise_rates(output=output)
    host_path.host_path(output=output)
    on_harness.resuming(full=full, output=output)
    reporting(output=output)
    coverage(output=output)


if __name__ == "__main__":
    sys.exit(call(app))
