"""``make bench``: engine efficiency, and the gain over evaluating one candidate at a time."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from bench.benchmarks.bare import bare_rate
from bench.benchmarks.coverage import REWARDS, SIZES, covered
from bench.benchmarks.harness import CURVE, make_study, studies_of, timed
from bench.benchmarks.reporting import report_of
from bench.benchmarks.resume import resume
from bench.benchmarks.simulated import harness_share, virtual_share
from bench.files import atomic_write
from bench.manifest import commit, versions
from bench.scale import parse_engines

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
out = Console(width=110)

Searches = Annotated[list[str] | None, typer.Option("--search", help="Only these searches.")]
Output = Annotated[Path, typer.Option(help="Folder for the JSON files.")]
RESULTS = Path("results/benchmarks")


@app.command()
def efficiency(
    searches: Searches = None,
    problems: Annotated[int, typer.Option(help="Problems, a multiple of ten.")] = 70,
    reward: Annotated[str, typer.Option(help="Reward to search on.")] = "brightness",
    batch: Annotated[int, typer.Option(help="Rows of a forward pass.")] = 32,
    count: Annotated[int, typer.Option(help="Engine actors of one thread each.")] = 2,
    config: Annotated[
        str | None, typer.Option(help="A configuration in place of the embedded model; each of its searches alone.")
    ] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="With --config.")] = None,
    output: Output = RESULTS,
) -> None:
    """Denoiser rows/s of a whole run over rows/s of the bare network, same batch, threads and device."""
    table = Table(
        "search", "rows/s", "bare rows/s", "efficiency", "full rows", title=f"Engine efficiency: {config or reward}"
    )
    records = []
    if config is None:
        studies = {
            name: make_study(CURVE[name], problems, reward, backend="ray", count=count, batch=batch, threads=1)
            for name in searches or ["eps_greedy", "mcts"]
        }
    else:
        studies = studies_of(config, overrides or [], searches)
        reward = Path(config).stem
    for name, study in studies.items():
        before = bare_rate(study)
        run = timed(study)
        bare = (before + bare_rate(study)) / 2
        record: dict[str, Any] = {
            "search": name,
            "rows_per_second": run.rows_per_second,
            "bare_rows_per_second": bare,
            "efficiency": run.rows_per_second / bare,
            "full": run.rows / (run.passes * study.config.engines.batch),
            "problems": study.problems,
            "engines": study.config.engines.model_dump(mode="json"),
            "seconds": run.seconds,
        }
        records.append(record)
        table.add_row(
            name,
            f"{run.rows_per_second:.1f}",
            f"{bare:.1f}",
            f"{record['efficiency']:.3f}",
            f"{100 * record['full']:.1f} %",
        )
    out.print(table)
    _save(output / f"efficiency-{reward}.json", records)


@app.command()
def one_at_a_time(
    searches: Searches = None,
    problems: Annotated[int, typer.Option(help="Problems, a multiple of ten.")] = 20,
    batch: Annotated[int, typer.Option(help="Rows of a forward pass.")] = 32,
    output: Output = RESULTS,
) -> None:
    """Images/s of two engine actors over evaluating one candidate of one problem at a time with both cores."""
    table = Table("search", "images/s", "one at a time", "ratio", title="Against one-at-a-time evaluation")
    records = []
    for name in searches or list(CURVE):
        alone = timed(make_study(CURVE[name], 1, backend="local", batch=1, threads=2, oversupply=1))
        run = timed(make_study(CURVE[name], problems, backend="ray", count=2, batch=batch, threads=1))
        ratio = run.images_per_second / alone.images_per_second
        records.append(
            {
                "search": name,
                "images_per_second": run.images_per_second,
                "one_at_a_time": alone.images_per_second,
                "ratio": ratio,
            }
        )
        table.add_row(name, f"{run.images_per_second:.3f}", f"{alone.images_per_second:.3f}", f"{ratio:.2f}")
    out.print(table)
    _save(output / "one-at-a-time.json", records)


@app.command()
def simulated(
    engines: Annotated[str, typer.Option(help="Numbers of engines.")] = "1,8,32,64",
    virtual: Annotated[str, typer.Option(help="Numbers of engines that a few processes play.")] = "512",
    seconds: Annotated[float, typer.Option(help="Length of each measurement.")] = 15.0,
    output: Output = RESULTS,
) -> None:
    """Engines that only sleep, 64 segments in 50 ms: what the harness costs, searches in the driver or beside."""
    table = Table("searches", "engines", "share of ideal", "segments/s", "driver ms a 1000 segments", title="Harness")
    records = []
    cases = [(n, on) for n in parse_engines(engines) for on in ("engine", "driver")]
    for count, where in [*cases, *((n, "engine, played") for n in parse_engines(virtual))]:
        found = virtual_share(count, seconds) if "played" in where else harness_share(count, where, seconds)
        records.append({"engines": count, "search_on": where, **asdict(found)})
        speed = f"{found.segments_per_second:,.0f}"
        table.add_row(where, str(count), f"{100 * found.share:.1f} %", speed, f"{found.driver_ms:.2f}")
    out.print(table)
    _save(output / "simulated.json", records)


@app.command()
def resuming(
    planned: Annotated[int, typer.Option(help="Trials, in hundreds.")] = 1_000_000,
    done: Annotated[int, typer.Option(help="Of them done.")] = 900_000,
    output: Output = RESULTS,
) -> None:
    """How long a large run takes to go on, and its memory."""
    found = resume(planned, done)
    out.print(
        f"{planned:,} trials, {done:,} done: the next one after {found.seconds:.1f} s, {found.mebibytes:.0f} MiB at "
        f"most; with none done after {found.start_seconds:.2f} s"
    )
    _save(output / "resuming.json", [asdict(found)])


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
    _save(output / "reporting.json", [asdict(found)])


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
    _save(output / "coverage.json", [asdict(found) for found in records])


@app.command("all")
def everything(output: Output = RESULTS) -> None:
    """Every benchmark at its defaults."""
    efficiency(output=output)
    one_at_a_time(output=output)
    simulated(output=output)
    resuming(output=output)
    reporting(output=output)
    coverage(output=output)


def _save(path: Path, records: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"records": records, "versions": versions(), "git": commit()}
    atomic_write(path, json.dumps(content, indent=2).encode())
    out.print(f"written to {path}")


if __name__ == "__main__":
    app()
