"""Commands that measure real engines against the bare network."""

from __future__ import annotations

from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from bench.benchmarks.app import (
    RESULTS,
    Batch,
    ChosenSearches,
    Config,
    Count,
    Full,
    Output,
    Overrides,
    app,
    numbers,
    out,
    percent,
    save,
)
from bench.benchmarks.efficiency import Cell, Sizes, cells
from bench.benchmarks.fullness import filled_batch
from bench.benchmarks.harness import CURVE, make_study, studies_of, timed
from bench.benchmarks.profiling import profile as run_profile
from bench.benchmarks.ray_cost import ray_cost as measure_ray_cost
from bench.benchmarks.trace_cost import trace_cost
from bench.benchmarks.windows import Length
from bench.study.config import load
from bench.study.study import Study
from bench.workers.backends import make_pool
from bench.workers.calibration import measure, parse_batches
from tts.errors import DeviceMemoryError, SettingError

STEPS = 6
"""Steps of a trajectory: few, for a search's steps are all alike, and what an engine has begun must end."""

GOAL = ("eps_greedy", "beam", "best_of_n", "mcts", "zero_order")
"""Searches whose efficiency is measured if nothing else is said."""

EMBEDDED = "quickstart"

SHOWN = ("denoiser", "noise", "host", "idle")
"""Shares of the engines' time that the table has."""

Steps = Annotated[int, typer.Option(min=4, help="Steps of the embedded model's trajectories.")]
Seconds = Annotated[float, typer.Option(help="Length of each window.")]


@app.command()
def bare(
    config: Config = None,
    overrides: Overrides = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=V,V", help="Also by a setting, e.g. engines.compile=false,true; may be repeated."),
    ] = None,
    batches: Annotated[
        str | None, typer.Option(help="Batch sizes; default: powers of two while the rate grows.")
    ] = None,
    seconds: Annotated[float, typer.Option(help="For each size.")] = 1.0,
    output: Output = RESULTS,
) -> None:
    """Rows/s and memory of the bare network by batch size; also by precision and the like, where a model has them."""
    given = ["engines.backend=local", "engines.count=1", "engines.batch=1", *(overrides or [])]
    sizes = None if batches is None else parse_batches(batches)
    records = []
    for settings in _combinations(vary or []):
        study = Study(load(config or EMBEDDED, [*given, *settings]))
        label = " ".join([study.model_name, *settings])
        try:
            found = measure(study, sizes, seconds)
        except DeviceMemoryError as error:
            out.print(f"{label}: {error}", markup=False, soft_wrap=True)
            continue
        out.print(found.table(f"Bare network: {label}, {found.device}"))
        records.append({"model": study.model_name, "settings": settings, **found.record()})
    save(output / "bare.json", records)


def _combinations(vary: list[str]) -> list[list[str]]:
    """Every combination of values, as settings."""
    axes = []
    for each in vary:
        key, equals, values = each.partition("=")
        if not equals:
            raise SettingError(f"--vary {each}: expected KEY=VALUE,VALUE")
        axes.append([f"{key}={value}" for value in values.split(",")])
    return [list(settings) for settings in product(*axes)]


@app.command()
def efficiency(
    searches: ChosenSearches = None,
    open_problems: Annotated[str, typer.Option("--open", help="Numbers of problems open at a time.")] = "10,40",
    whole: Annotated[
        list[str] | None,
        typer.Option(help="Searches of which whole runs are made as well, or all; left out: eps_greedy."),
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Rows of a pass; left out: at most 40, what so few problems fill best.")
    ] = None,
    count: Count = 2,
    steps: Steps = STEPS,
    seconds: Seconds = 4.0,
    search_on: Annotated[str, typer.Option(help="driver, or engine: as many problems as engines want.")] = "driver",
    config: Config = None,
    overrides: Overrides = None,
    full: Full = False,
    output: Output = RESULTS,
) -> None:
    """Denoiser rows/s of engines over those of the bare network, and where their time goes.

    The steady state is measured while engines are fed, by each engine's own clock; a whole run has its beginning and
    the last problems' tail in it as well. The bare network runs before and after each window, in as many processes as
    there are engines. On CPUs the windows are then repeated while the bare network computes on the same cores, and the
    two compared by the CPU time of their processes.
    """
    opened = (10, 32, 70) if full else tuple(numbers(open_problems))
    names = searches or (list(CURVE) if full else list(GOAL))
    if search_on == "engine":
        opened = opened[-1:]  # engines open as many as they need
    groups: dict[tuple[int, tuple[int, ...]], dict[str, Study]] = {}
    if config is not None:
        groups[0, opened] = studies_of(config, overrides or [], searches)
    for problems, name in product(opened, names if config is None else ()):
        size = batch or filled_batch(name, problems, count, steps)
        study = make_study(CURVE[name], problems, steps=steps, backend="ray", count=count, batch=size, threads=1)
        groups.setdefault((size, (problems,)), {})[name] = study
    length = Length(seconds * (3 if full else 1))
    records, table = [], _efficiency_table(f"Engine efficiency: {config or 'cifar10'}, searches in the {search_on}")
    for (_, some), studies in groups.items():
        wholes = tuple(studies) if full or whole == ["all"] else tuple(whole or ["eps_greedy"])
        for cell in cells(studies, Sizes(some, length, whole=wholes), search_on):
            table.add_row(*_efficiency_row(cell))
            engines = next(iter(studies.values())).config.engines.model_dump(mode="json")
            records.append({**cell.record(), "search_on": search_on, "steps": steps, "engines": engines})
    out.print(table)
    save(output / f"efficiency-{Path(config).stem if config else 'cifar10'}-{search_on}.json", records)


def _efficiency_table(title: str) -> Table:
    caption = (
        "wall, CPU: share of the bare network's rows by wall and by CPU time; full: rows without padding; the same of "
        "a whole run; then shares of the engines' wall time"
    )
    table = Table(title=title, caption=caption)
    for name in ("search", "open", "batch", "rows/s", "wall", "CPU", "full", "whole: wall", "CPU", "full", *SHOWN):
        table.add_column(name, justify="left" if name == "search" else "right")
    return table


def _efficiency_row(cell: Cell) -> list[str]:
    opened = "any" if cell.open_problems is None else str(cell.open_problems)
    shares = cell.window.shares()
    steady = (cell.efficiency, cell.cpu_efficiency, cell.full)
    whole = (cell.whole_efficiency, cell.whole_cpu_efficiency, cell.whole_full)
    ratios = ["" if ratio is None else f"{ratio:.3f}" for ratio in (*steady, *whole)]
    parts = [f"{100 * shares[name]:.1f}" for name in SHOWN]
    return [cell.search, opened, str(cell.batch), f"{cell.rate:.0f}", *ratios, *parts]


@app.command()
def one_at_a_time(
    searches: ChosenSearches = None,
    problems: Annotated[int, typer.Option(help="Problems, a multiple of ten.")] = 20,
    batch: Batch = 32,
    steps: Steps = STEPS,
    full: Full = False,
    output: Output = RESULTS,
) -> None:
    """Images/s of whole runs on two engine actors over one candidate of one problem at a time with both cores."""
    problems, steps = (70, 18) if full else (problems, steps)
    table = Table("search", "images/s", "one at a time", "ratio", title="Against one-at-a-time evaluation")
    names, records = searches or list(CURVE), []
    together: dict[str, Any] = {"backend": "ray", "count": 2, "batch": batch, "threads": 1, "search_on": "driver"}
    single: dict[str, Any] = {"backend": "local", "batch": 1, "threads": 2, "oversupply": 1, "search_on": "driver"}
    both = make_pool(make_study(CURVE[names[0]], problems, steps=steps, **together))
    alone = make_pool(make_study(CURVE[names[0]], 1, steps=steps, **single))
    try:
        for name in names:
            one = timed(make_study(CURVE[name], 1, steps=steps, **single), alone).images_per_second
            many = timed(make_study(CURVE[name], problems, steps=steps, **together), both).images_per_second
            records.append({"search": name, "images_per_second": many, "one_at_a_time": one, "ratio": many / one})
            table.add_row(name, f"{many:.3f}", f"{one:.3f}", f"{many / one:.2f}")
    finally:
        both.close()
        alone.close()
    out.print(table)
    save(output / "one-at-a-time.json", records)


@app.command()
def ray_cost(
    searches: ChosenSearches = None,
    batch: Batch = 32,
    rounds: Annotated[int, typer.Option(min=1, help="Windows of each, in alternation.")] = 3,
    seconds: Seconds = 5.0,
    output: Output = RESULTS,
) -> None:
    """Rows/s of one engine as a Ray actor over those of the same engine in the driver's process."""
    table = Table("search", "rows/s, local", "rows/s, Ray", "ratio", title="The cost of Ray")
    records = []
    for name in searches or ["eps_greedy"]:
        studies = {
            backend: make_study(CURVE[name], 10, steps=STEPS, backend=backend, count=1, batch=batch, threads=1)
            for backend in ("local", "ray")
        }
        found = measure_ray_cost(name, studies, Length(seconds), rounds)
        records.append(found.record())
        rates = [" ".join(f"{rate:.1f}" for rate in some) for some in (found.local, found.ray)]
        table.add_row(name, *rates, f"{found.ratio:.3f}")
    out.print(table)
    save(output / "ray-cost.json", records)


@app.command()
def profile(
    search: Annotated[str, typer.Option(help="Which one.")] = "eps_greedy",
    batch: Batch = 32,
    seconds: Seconds = 10.0,
    operations: Annotated[
        bool, typer.Option("--operations", help="torch's operations, not Python's functions.")
    ] = False,
    config: Config = None,
    overrides: Overrides = None,
    label: Annotated[str, typer.Option(help="Part of the file's name, to keep a profile of before.")] = "now",
    output: Output = RESULTS,
) -> None:
    """Where the loop of searches and one engine in one process spends its time, in words and by function."""
    if config is None:
        study = make_study(CURVE[search], 10, steps=STEPS, backend="local", batch=batch, threads=1)
    else:
        studies = studies_of(config, ["engines.backend=local", "engines.count=1", *(overrides or [])], [search])
        study = next(iter(studies.values()))
    found = run_profile(study, Length(seconds), operations)
    table = Table("seconds", "share", "function" if not operations else "operation", title=f"Profile: {search}")
    for name, own in (found.record()["operations"] if operations else found.record()["host"]).items():
        table.add_row(f"{own:.3f}", percent(own / found.seconds), name)
    out.print(table)
    out.print(found.words(), highlight=False, markup=False)
    save(output / f"profile-{search}-{label}.json", [found.record()])


@app.command("trace")
def trace(searches: ChosenSearches = None, output: Output = RESULTS) -> None:
    """What a trace of every evaluation costs: runs with one over runs without, in alternation."""
    table = Table("search", "wall", "CPU", "CPU ms more for 1000 forwards, no network", title="Trace on over trace off")
    records = []
    for name in searches or ["eps_greedy"]:
        found = trace_cost(name)
        records.append(asdict(found))
        table.add_row(name, f"{found.wall:.3f}", f"{found.cpu:.3f}", f"{found.harness_ms:.1f}")
    out.print(table)
    save(output / "trace.json", records)
