"""``tts-bench duel``."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.commands.options import Device, Run, out


def duel(
    run: Run,
    baseline: Annotated[str, typer.Option(help="Search with whose images the others are compared.")] = "naive",
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting of the judge, e.g. id=FOLDER.")
    ] = None,
    device: Annotated[Device, typer.Option(help="Where the judge computes.")] = Device.cpu,
) -> None:
    """Let a model compare each search's final images with a baseline's, two at a time: a judge that no search has seen.

    The judge is UnifiedReward's question of two images, asked in both orders.
    """
    from bench.report.duels import chosen, duels, render
    from bench.study.config import assignments
    from tts.rewards.pairs import UnifiedRewardPairs
    from tts.settings import parse

    judge = parse(UnifiedRewardPairs, assignments(settings or []), "judge")
    on = device.here()
    chosen(run, baseline)  # before weights are looked for
    judge.check()
    out.print(render(duels(run, judge.judge(on), baseline), baseline))
