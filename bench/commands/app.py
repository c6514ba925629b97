"""The command line. Nothing heavy is imported before a command runs, so that help appears at once."""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import StrEnum
from json import dumps
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from tts.errors import EngineError, TTSError

app = typer.Typer(
    name="tts-bench",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Measure test-time scaling of diffusion models: search over the injected noise, at every budget.",
)
PLAIN_WIDTH = 120  # where the output is no terminal, tables still need their columns

out = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
err = Console(stderr=True)

Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a setting, e.g. engines.count=4; may be repeated."),
]
Run = Annotated[str, typer.Argument(help="Results folder of a run, or its address in an object store.")]


class Plugins(StrEnum):
    """What can be listed."""

    models = "models"
    rewards = "rewards"
    searches = "searches"


class Trainable(StrEnum):
    """What can be trained."""

    denoiser = "denoiser"
    classifier = "classifier"
    judge = "judge"


class Device(StrEnum):
    """Where a model can run."""

    cpu = "cpu"
    cuda = "cuda"


class ScalingMode(StrEnum):
    """What grows with the engines."""

    strong = "strong"
    weak = "weak"
    both = "both"


STUDY = "The flags of the study's own code, with its defaults (arXiv 2506.03164)"


@app.command()
def run(
    config: Annotated[
        str, typer.Argument(help="A YAML file, or the name of a configuration that ships: quickstart, ...")
    ],
    overrides: Overrides = None,
    address: Annotated[
        str | None, typer.Option(help="Ray cluster to use, HOST:PORT; the same as --set engines.address=HOST:PORT.")
    ] = None,
    shard: Annotated[
        str | None, typer.Option(metavar="I/N", help="Only every N-th trial, from 0; all shards share one output.")
    ] = None,
    retry_errors: Annotated[bool, typer.Option("--retry-errors", help="Run trials again that have failed.")] = False,
    errors_ok: Annotated[
        bool, typer.Option("--errors-ok", help="Exit code 0, not 3, though trials have failed; for job queues.")
    ] = False,
) -> None:
    """Run a study, or go on with one that was interrupted; then print its table and draw its plots.

    Exit codes: 0 done; 1 no engine is left; 2 a setting is wrong; 3 done, but some trials have failed; 130 and 143
    stopped by Ctrl-C or SIGTERM, everything finished is stored.
    """
    from bench.report.summary import report
    from bench.run.signals import Interrupted, gently
    from bench.run.start import run as run_study
    from bench.study.config import load

    given = {"engines.address": address, "shard": shard}
    settings = load(config, [*(overrides or []), *(f"{key}={dumps(value)}" for key, value in given.items() if value)])
    try:
        with gently(err):
            finished = run_study(settings, out, retry_errors)
    except KeyboardInterrupt as stop:
        err.print("stopped; what was finished is stored, and the same command goes on from there")
        raise typer.Exit(stop.code if isinstance(stop, Interrupted) else 130) from None
    if not finished.study.shard_size:
        out.print(f"shard {shard}: has no trials; there are fewer of them than shards", highlight=False)
        return
    failed = report([settings.output], out)
    if failed and not errors_ok:
        raise typer.Exit(3)


@app.command()
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
    out.print(render(run_scale(settings, Plan(modes, parse_engines(engines), repeats), output, out)))
    out.print(f"{output}: scaling.parquet, scaling-summary.parquet, scaling.png", markup=False, soft_wrap=True)


@app.command()
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


@app.command()
def status(
    run: Run,
    follow: Annotated[
        bool, typer.Option("--follow", help="Show it again every few seconds, until it is done.")
    ] = False,
) -> None:
    """Show how a run is getting on: done, failed, rate, time left, each engine."""
    from bench.run.status import follow as follow_status
    from bench.run.status import show

    (follow_status if follow else show)(run, out)


@app.command()
def curves(
    runs: Annotated[list[str], typer.Argument(help="Results folders or addresses, also of unfinished runs.")],
) -> None:
    """Compute curves.parquet, curves.png and images.png of runs again, and print one table of them all."""
    from bench.report.summary import report

    report([*runs], out)


@app.command("report")
def report_page(
    runs: Annotated[list[str], typer.Argument(help="Results folders or addresses, also of unfinished runs.")],
    output: Annotated[
        str | None, typer.Option(help="Folder, or file that ends with .html; left out: the first run's folder.")
    ] = None,
    baseline: Annotated[str, typer.Option(help="Search with which the others are compared.")] = "naive",
    features: Annotated[
        bool, typer.Option(help="Diversity and distance from real images, where the embedded model drew them.")
    ] = True,
) -> None:
    """Write report.html: what runs say, in words, curves that answer to the pointer, tables and images, in one file.

    It opens offline. The folder report/ beside it has every figure as PNG and SVG, and every table as CSV.
    """
    from bench.report.html.page import write_report

    written = write_report([*runs], output, baseline, features)
    out.print(f"{written.page}: {written.size / 1e6:.1f} MB", highlight=False, markup=False, soft_wrap=True)
    beside = f"{written.page.removesuffix('.html')}/: {written.files} files"
    out.print(beside, highlight=False, markup=False, soft_wrap=True)


@app.command()
def replay(
    run: Run,
    trial: Annotated[str, typer.Argument(help="The trial's identity (column 'trial'), or its first digits.")],
    output: Annotated[Path | None, typer.Option(help="PNG file to write.")] = None,
) -> None:
    """Make a trial's image again from its row, and say whether it is the same; exit code 1 if it is not."""
    from bench.run.replay import replay as replay_trial
    from bench.store.files import check_file, write_output

    if output is not None:
        check_file(output)
    result = replay_trial(run, trial)
    if output is not None:
        write_output(output, result.image)
    for name, value in result.scores.items():
        out.print(f"{name}: {value} (stored: {result.row[f'score_{name}']})", highlight=False)
    if result.identical is None:
        out.print("no image is stored to compare with")
    else:
        out.print(
            "the image is identical to the stored one" if result.identical else "the image differs from the stored one"
        )
    if result.identical is False or any(value != result.row[f"score_{name}"] for name, value in result.scores.items()):
        raise typer.Exit(1)


@app.command()
def export(
    run: Run,
    folder: Annotated[Path, typer.Argument(help="New folder.")],
    images: Annotated[bool, typer.Option(help="Keep the images in the rows.")] = True,
) -> None:
    """Copy a run into a small folder to hand on: one part, curves, pictures; images can be left out."""
    from bench.report.export import export as export_run

    rows = export_run(run, folder, images)
    out.print(f"{folder}: {rows} trials", markup=False, soft_wrap=True)


@app.command()
def compare(
    a: Annotated[str, typer.Argument(metavar="RUN_A", help="Results folder or address of a run.")],
    b: Annotated[str, typer.Argument(metavar="RUN_B", help="That of another run of what should be the same study.")],
    exact: Annotated[bool, typer.Option("--exact", help="Exit code 4 also if they differ within noise.")] = False,
    common: Annotated[bool, typer.Option("--common", help="It is enough that they have trials in common.")] = False,
    tolerance: Annotated[
        float, typer.Option(min=0, help="Mean differences up to this count as noise, however sure they are.")
    ] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="All of it as JSON, for programs.")] = False,
) -> None:
    """Say whether two runs (two versions, clusters, settings) are the same, and if not, whether it is more than noise.

    Exit codes: 0 the trials are identical, or differ within noise; 2 no run, or a setting is wrong; 4 they differ
    beyond noise; 5 one run lacks trials of the other.
    """
    from bench.report.compare import compare as compare_runs
    from bench.report.compare import exit_code
    from bench.report.compare_table import render, to_json

    found = compare_runs(a, b, tolerance)
    code = exit_code(found, exact, common)
    if as_json:
        out.print(to_json(found, code), markup=False, highlight=False, soft_wrap=True)
    else:
        for part in render(found):
            out.print(part)
    raise typer.Exit(code)


@app.command("list")
def list_plugins(kind: Annotated[Plugins, typer.Argument(help="What to list.")]) -> None:
    """List models, rewards or searches with their settings and defaults."""
    from bench.report.listing import listing

    out.print(listing(kind.value))


@app.command()
def train(
    what: Annotated[Trainable, typer.Argument(help="Which of the embedded model's two networks.")],
    data: Annotated[
        Path, typer.Option(help="Folder with cifar10_{train,test}.parquet, or torchvision's CIFAR10 root.")
    ],
    output: Annotated[Path, typer.Option(help="Folder for the checkpoint, the weights and pictures.")],
    images: Annotated[int | None, typer.Option(min=1, help="Images to see in all.")] = None,
    save_every: Annotated[float, typer.Option(min=1, help="Seconds between checkpoints.")] = 120.0,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; left out: torch's choice.")] = None,
    bf16: Annotated[bool, typer.Option(help="Mixed precision.")] = False,
    compile: Annotated[bool, typer.Option("--compile", help="Compile the network first (needs a C compiler).")] = False,
    samples: Annotated[int, typer.Option(min=0, help="Plain samples by which a finished denoiser is judged.")] = 1000,
) -> None:
    """Train the embedded denoiser or classifier; the same command goes on after an interruption."""
    from bench.run.training import TrainOptions
    from bench.run.training import train as train_network

    options = TrainOptions(what.value, data, output, images, save_every, threads, bf16, compile, samples)
    for name, value in train_network(options, out).items():
        out.print(f"{name}: {value}", highlight=False)


@app.command()
def generate(
    model: Annotated[str | None, typer.Option(help="See: tts-bench list models; left out: cifar10.")] = None,
    search: Annotated[str | None, typer.Option(help="See: tts-bench list searches; left out: eps_greedy.")] = None,
    reward: Annotated[str | None, typer.Option(help="Reward to search on; left out: brightness.")] = None,
    condition: Annotated[
        str | None, typer.Option("--class", "--prompt", help="What to draw: a class or a prompt.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, another image.")] = 0,
    output: Annotated[Path, typer.Option(help="PNG file to write.")] = Path("image.png"),
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A setting of the search, e.g. K=20; or model.KEY, reward.KEY, engines.KEY; may be repeated.",
        ),
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Rows of every forward pass; left out: the search's candidates.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
    device: Annotated[Device | None, typer.Option(help="Left out: cuda where there is a GPU, else cpu.")] = None,
    backend: Annotated[str | None, typer.Option(metavar="NAME", help="sd or edm.", rich_help_panel=STUDY)] = None,
    scorer: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="brightness, compressibility, clip or imagenet.", rich_help_panel=STUDY),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="naive, rejection, beam, mcts, zero_order or eps_greedy.", rich_help_panel=STUDY
        ),
    ] = None,
    n: Annotated[int | None, typer.Option("--N", help="Candidates [4].", rich_help_panel=STUDY)] = None,
    lambda_: Annotated[float | None, typer.Option("--lambda_", help="Radius [0.15].", rich_help_panel=STUDY)] = None,
    eps: Annotated[float | None, typer.Option("--eps", help="Share of fresh [0.4].", rich_help_panel=STUDY)] = None,
    k: Annotated[int | None, typer.Option("--K", help="Rounds a step [20].", rich_help_panel=STUDY)] = None,
    b: Annotated[int | None, typer.Option("--B", help="Beams [2].", rich_help_panel=STUDY)] = None,
    s: Annotated[int | None, typer.Option("--S", help="Simulations a step [8].", rich_help_panel=STUDY)] = None,
) -> None:
    """Draw one image with a search; prints its rewards before and after."""
    from bench.report.listing import before_and_after
    from bench.run.drawing import Request, draw
    from bench.store.files import check_file, write_output

    check_file(output)
    flags = {"N": n, "lambda": lambda_, "eps": eps, "K": k, "B": b, "S": s}
    request = Request(model, search, reward, condition, seed, batch, threads, device and device.value, settings or [])
    request, notes = request.with_study_flags(backend, scorer, method, flags)
    for note in notes:
        err.print(note, style="yellow", highlight=False, markup=False, soft_wrap=True)
    drawn = draw(request)
    for note in drawn.notes:
        err.print(note, style="yellow", highlight=False, markup=False, soft_wrap=True)
    write_output(output, drawn.after["image"])
    out.print(before_and_after(drawn.before, drawn.after))
    out.print(f"written to {output}", highlight=False, markup=False, soft_wrap=True)


def main() -> None:
    """Entry point: an error of ours is one line on stderr, exit code 2 (settings) or 1 (engines)."""
    sys.exit(call(app))


def call(command: Callable[..., Any], *arguments: Any) -> int:
    """Run a command and turn our errors into exit codes."""
    try:
        command(*arguments)
    except EngineError as error:
        err.print(f"error: {error}", style="red", highlight=False, markup=False, soft_wrap=True)
        return 1
    except TTSError as error:
        err.print(f"error: {error}", style="red", highlight=False, markup=False, soft_wrap=True)
        return 2
    return 0
