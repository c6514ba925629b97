"""``tts-bench report``."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.commands.options import Over, Spread, out


def report(
    runs: Annotated[list[str], typer.Argument(help="Results folders or addresses, also of unfinished runs.")],
    output: Annotated[
        str | None, typer.Option(help="Folder, or file that ends with .html; default: the first run's folder.")
    ] = None,
    baseline: Annotated[str, typer.Option(help="Search with which the others are compared.")] = "naive",
    over: Spread = Over.problems,
    features: Annotated[
        bool, typer.Option(help="Diversity and distance from real images, where the embedded model drew them.")
    ] = True,
    price: Annotated[
        list[str] | None,
        typer.Option(help="Price of an hour of a device, in any currency: 2.5, or 'NVIDIA H200=3.5'; may be repeated."),
    ] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Allow the runs' manifests to name metrics that are code.")
    ] = False,
) -> None:
    """Write report.html: a run's results in words, curves that answer to the pointer, tables and images, in one file.

    Runs of different models, steps or samplers are drawn in one figure against FLOPs, device-seconds and money, too,
    with what is best at each cost and where that changes.

    It opens offline. The folder report/ beside it has every figure as PNG and SVG, and every table as CSV.
    """
    from bench.report.controls import with_controls
    from bench.report.html.page import write_report
    from bench.report.prices import parsed_prices

    written = write_report(
        with_controls(runs), output, baseline, features, over.value, trust, parsed_prices(price or [])
    )
    out.print(f"{written.page}: {written.size / 1e6:.1f} MB", highlight=False, markup=False, soft_wrap=True)
    beside = f"{written.page.removesuffix('.html')}/: {written.files} files"
    out.print(beside, highlight=False, markup=False, soft_wrap=True)
