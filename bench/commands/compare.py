"""``tts-bench compare``."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.commands.options import out


def compare(
    a: Annotated[str, typer.Argument(metavar="RUN_A", help="Results folder or address of a run.")],
    b: Annotated[str, typer.Argument(metavar="RUN_B", help="Results folder or address of a second run of the study.")],
    exact: Annotated[bool, typer.Option("--exact", help="Exit code 4 also if they differ within noise.")] = False,
    common: Annotated[bool, typer.Option("--common", help="Compare the common trials only.")] = False,
    tolerance: Annotated[
        float, typer.Option(min=0, help="Mean differences up to this count as noise, even if significant.")
    ] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON, for programs.")] = False,
) -> None:
    """Test whether two runs (two versions, clusters, settings) are the same, and if not, whether they differ beyond
    noise.

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
