"""``tts-bench verify``."""

from __future__ import annotations

from json import dumps
from typing import Annotated

import typer

from bench.commands.options import Run, err, out


def verify(
    run: Run,
    sample: Annotated[int, typer.Option(min=1, help="Number of trials to replay.")] = 20,
    seed: Annotated[int, typer.Option(help="Seed of the choice of trials.")] = 0,
    exact: Annotated[bool, typer.Option("--exact", help="Exit code 4 also if only devices differ.")] = False,
    trust: Annotated[
        bool, typer.Option("--trust", help="Allow the run's manifest to name code, files and addresses.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON, for programs.")] = False,
) -> None:
    """Play trials of a run again, drawn at random, and say whether their pixels and rewards are those stored.

    A row of another kind of device may differ in the last digits, and then by little in its image; such rows are told
    from rows that are wrong.

    Exit codes: 0 all are the same, or differ as devices do; 2 no run, or its model is not here; 4 some are wrong.
    """
    from bench.report.verify_table import render, sentence
    from bench.run.progress import counted
    from bench.run.verify import Verdict
    from bench.run.verify import verify as verify_run
    from bench.store.plain import finite

    with counted(err, "trials") as progress:
        found = list(verify_run(run, sample, seed, trust, progress))
    if as_json:
        told = finite([vars(check) for check in found])
        out.print(dumps(told, indent=2, allow_nan=False), markup=False, highlight=False, soft_wrap=True)
    else:
        out.print(render(found))
        out.print(sentence(found), markup=False, highlight=False, soft_wrap=True)
    bad = {Verdict.WRONG, Verdict.CLOSE} if exact else {Verdict.WRONG}
    if any(check.verdict in bad for check in found):
        raise typer.Exit(4)
