"""``tts-bench check``."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.commands.options import out


def check(
    target: Annotated[str, typer.Argument(help="module:Class of your own search, model, reward, sampler or metric.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting of it; may be repeated.")
    ] = None,
    conditions: Annotated[
        list[str] | None,
        typer.Option("--condition", help="Prompt of a reward's images; default: class indices 0 to 5."),
    ] = None,
) -> None:
    """Test your own plug-in against the rules of its kind; exit code 1 if a rule is broken."""
    from bench.study.config import assignments
    from tts.testing.checking import SAME
    from tts.testing.checking import check as play

    verdict = play(target, assignments(settings or []), conditions or [])
    for finding in verdict.findings:
        rule, fault = finding.rule, finding.fault
        if fault == SAME:
            continue
        line = f"ok     {rule}" if fault is None else f"WRONG  {rule.removesuffix('.')}: {fault}"
        out.print(line, style=None if fault is None else "red", highlight=False, markup=False, soft_wrap=True)
    broken = sum(finding.fault is not None for finding in verdict.findings)
    count = len(verdict.findings)
    same = sum(finding.fault == SAME for finding in verdict.findings)
    alike = f", {same} of them for a reason that stands above" if same else ""
    said = f"{broken} of {count} rules broken{alike}" if broken else f"keeps to all {count} rules"
    out.print(f"{verdict.kind} {verdict.name}: {said}", highlight=False, markup=False, soft_wrap=True)
    if broken:
        raise typer.Exit(1)
