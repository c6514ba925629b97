"""Commands that measure the harness: engines that only sleep, start-up, resuming, work that is shared."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Annotated

import typer
from rich.table import Table

from bench.benchmarks.app import RESULTS, Full, Output, Overrides, app, numbers, out, percent, save
from bench.benchmarks.awaiting import LATENCY, PASS_SECONDS, Way, awaited, late_server
from bench.benchmarks.encoding import loaded
from bench.benchmarks.resume import resume
from bench.benchmarks.shared_work import CURVES, Shared, curve_config, reference_config
from bench.benchmarks.shared_work import shared_work as measure_shared_work
from bench.benchmarks.simulated import driver_cost, harness_share
from bench.benchmarks.startup import IMPORTS, Startup, first_forward, help_time, import_time
from bench.benchmarks.windows import Length

SINGLE_STEPS = ("eps_greedy", "random", "beam")
"""Searches made of single steps, by which evaluations can be counted from rows."""

Seconds = Annotated[float, typer.Option(help="Length of each measurement.")]


@app.command()
def driver(
    searches: Annotated[
        list[str] | None, typer.Option("--search", help="eps_greedy, random or beam; may be repeated.")
    ] = None,
    engines: Annotated[int, typer.Option(help="Engines that sleep, 64 segments in 50 ms.")] = 4,
    seconds: Seconds = 6.0,
    full: Full = False,
    output: Output = RESULTS,
) -> None:
    """CPU time of the driver for a thousand evaluations, with searches in the driver and beside engines."""
    table = Table("search", "searches on", "engines", "evaluations/s", "driver ms a 1000", "of a core", title="Driver")
    records = []
    for name in searches or (SINGLE_STEPS if full else SINGLE_STEPS[:1]):
        for where in ("driver", "engine"):
            found = driver_cost(name, engines, where, Length(seconds, 5.0))
            records.append(asdict(found))
            speed = f"{found.evaluations_per_second:,.0f}"
            table.add_row(name, where, str(engines), speed, f"{found.driver_ms:.2f}", percent(found.core))
    out.print(table)
    save(output / "driver.json", records)


@app.command()
def simulated(
    engines: Annotated[str | None, typer.Option(help="Numbers of engines; left out: 8,64.")] = None,
    virtual: Annotated[str, typer.Option(help="Numbers of engines that a few processes play.")] = "512",
    seconds: Seconds = 10.0,
    full: Full = False,
    output: Output = RESULTS,
) -> None:
    """Engines that only sleep, 64 segments in 50 ms: their share of the ideal, searches in the driver or beside."""
    from bench.benchmarks.virtual import virtual_share  # needs Ray

    table = Table("searches", "engines", "share of ideal", "segments/s", "driver ms a 1000 segments", title="Harness")
    records = []
    cases = [(n, on) for n in numbers(engines or ("1,8,32,64" if full else "8,64")) for on in ("engine", "driver")]
    for count, where in [*cases, *((n, "engine, played") for n in numbers(virtual))]:
        found = virtual_share(count, seconds) if "played" in where else harness_share(count, where, seconds)
        records.append({"engines": count, "search_on": where, **asdict(found)})
        speed = f"{found.segments_per_second:,.0f}"
        table.add_row(where, str(count), percent(found.share), speed, f"{found.driver_ms:.2f}")
    out.print(table)
    save(output / "simulated.json", records)


@app.command()
def prompts(
    config: Annotated[str, typer.Option(help="A configuration whose model draws prompts.")] = "sd35-curves",
    overrides: Overrides = None,
    output: Output = RESULTS,
) -> None:
    """Memory and time to load of an engine with a store of encoded prompts, and with its own text encoders."""
    records = loaded(config, overrides or [])
    table = Table("process", "prompts", "s", "CPU s", "MiB at most", "MiB kept", "MiB on the GPU", title="Prompts")
    for found in records:
        times = [f"{found.seconds:.1f}", f"{found.cpu_seconds:.1f}"]
        memory = [f"{size:,.0f}" for size in (found.mebibytes, found.kept_mebibytes, found.device_mebibytes)]
        table.add_row(found.what, str(found.prompts), *times, *memory)
    out.print(table)
    save(output / "prompts.json", [asdict(found) for found in records])


@app.command()
def awaiting(
    concurrency: Annotated[str, typer.Option(help="Requests of a service at a time.")] = "1,8,32",
    scorers: Annotated[str, typer.Option(help="Scorers, beside the reward in the engine itself.")] = "4",
    oversupply: Annotated[str, typer.Option(help="Segments in flight, in batches.")] = "3,8",
    warm_up: Annotated[float, typer.Option(help="Seconds until what waits for the rewards has settled.")] = 15.0,
    seconds: Seconds = 6.0,
    output: Output = RESULTS,
) -> None:
    """An engine whose rewards take 300 ms a request: its idle share, by requests at a time and by scorers."""
    title = f"Rewards of {1000 * LATENCY:.0f} ms, passes of 32 rows in {1000 * PASS_SECONDS:.0f} ms"
    table = Table("rewards", "oversupply", "rows/s", "passes full", "in passes", "idle", "other", title=title)
    ways = [Way(concurrency=n) for n in numbers(concurrency)] + [Way(scorers=n) for n in (0, *numbers(scorers))]
    records = []
    with late_server() as url:
        for way in (replace(way, oversupply=n) for n in numbers(oversupply) for way in ways):
            found = awaited(way, url, Length(seconds, warm_up))
            shares = found.shares()
            records.append({**asdict(way), **found.record()})
            other = 1 - shares["denoiser"] - shares["idle"]
            parts = [percent(part) for part in (found.full(32), shares["denoiser"], shares["idle"], other)]
            table.add_row(way.label, f"{way.oversupply:g}", f"{found.rows_per_second:,.0f}", *parts)
    out.print(table)
    save(output / "awaiting.json", records)


@app.command()
def resuming(
    planned: Annotated[int | None, typer.Option(help="Trials, in hundreds; left out: 200,000.")] = None,
    full: Annotated[bool, typer.Option("--full", help="A million trials.")] = False,
    output: Output = RESULTS,
) -> None:
    """Time and memory to resume a large run, nine tenths of it done."""
    size = planned or (1_000_000 if full else 200_000)
    found = resume(size, size * 9 // 10)
    out.print(
        f"{found.planned:,} trials, {found.done:,} done: the next one after {found.seconds:.1f} s, "
        f"{found.mebibytes:.0f} MiB at most; with none done after {found.start_seconds:.2f} s"
    )
    save(output / "resuming.json", [asdict(found)])


@app.command()
def startup(
    repeats: Annotated[int, typer.Option(min=1, help="Starts of each run; the median one is shown.")] = 3,
    imports: Annotated[bool, typer.Option(help="Time the import of modules as well.")] = True,
    output: Output = RESULTS,
) -> None:
    """Seconds to the help text and to a run's first forward pass, with and without Ray, and what they are made of.

    On Ray the first pass is seen when its message reaches the driver.
    """
    found = [help_time(), first_forward("local", repeats), first_forward("ray", repeats)]
    found += [import_time(module) for module in IMPORTS] if imports else []
    table = Table("what", "seconds", "goal", "phases", title="Start-up")
    for each in found:
        goal = "" if each.goal is None else f"< {each.goal:g}{'' if each.met else ': missed'}"
        table.add_row(each.what, f"{each.seconds:.2f}", goal, _phases(each))
    out.print(table)
    save(output / "startup.json", [{**asdict(each), "met": each.met} for each in found])


def _phases(found: Startup) -> str:
    return ", ".join(f"{name} {seconds:.2f}" for name, seconds in found.phases.items())


@app.command()
def shared_work(
    problems: Annotated[int, typer.Option(help="Problems of each curve, a multiple of ten.")] = 20,
    reference: Annotated[bool, typer.Option(help="Also the configuration of the committed reference run.")] = True,
    real: Annotated[bool, typer.Option(help="Also a small curve that is really computed.")] = True,
    output: Output = RESULTS,
) -> None:
    """Forwards of a curve run together, against a run for each of its points and against trials by themselves.

    Each on three rewards, counted with an engine that computes nothing.
    """
    found = [
        measure_shared_work(name, curve_config(searches, problems, simulate=0)) for name, searches in CURVES.items()
    ]
    if reference:
        found.append(measure_shared_work("cifar10-reference", reference_config()))
    if real:
        name = "best_of_n, N = 1..4"
        searches = [{"name": "best_of_n", "budget": {"N": [1, 2, 4]}}]
        found.append(measure_shared_work(f"{name}, counted", curve_config(searches, 2, simulate=0)))
        found.append(measure_shared_work(f"{name}, computed", curve_config(searches, 2, batch=8)))
    out.print(_shared_table(found))
    save(
        output / "shared-work.json",
        [{**asdict(each), "of_separate": each.of_separate, "of_alone": each.of_alone} for each in found],
    )


def _shared_table(found: list[Shared]) -> Table:
    table = Table(
        title="Forwards (NFE) of curves", caption="separate: a run for each point, all rewards; alone: a trial"
    )
    for name in ("curve", "trials", "together", "separate", "ratio", "alone", "ratio"):
        table.add_column(name, justify="left" if name == "curve" else "right")
    for each in found:
        table.add_row(
            each.curve,
            f"{each.trials:,}",
            f"{each.together:,}",
            f"{each.separate:,}",
            f"{each.of_separate:.3f}",
            f"{each.alone:,}",
            f"{each.of_alone:.3f}",
        )
    return table
