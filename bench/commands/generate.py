"""``tts-bench generate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.commands.options import Device, err, out

STUDY = "The flags of the study's own code, with its defaults (arXiv 2506.03164)"


def generate(
    model: Annotated[str | None, typer.Option(help="See: tts-bench list models; default: cifar10.")] = None,
    search: Annotated[str | None, typer.Option(help="See: tts-bench list searches; default: eps_greedy.")] = None,
    reward: Annotated[str | None, typer.Option(help="Reward to search on; default: brightness.")] = None,
    condition: Annotated[
        str | None, typer.Option("--class", "--prompt", help="What to draw: a class or a prompt.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the image.")] = 0,
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
        int | None, typer.Option(min=1, help="Rows of every forward pass; default: the search's candidates.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
    device: Annotated[Device | None, typer.Option(help="Default: cuda with a GPU, else cpu.")] = None,
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
    """Draw one image with a search, and print its rewards without and with search."""
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
    write_output(output, drawn.after.image or b"")
    out.print(before_and_after(drawn.before, drawn.after))
    out.print(f"written to {output}", highlight=False, markup=False, soft_wrap=True)
