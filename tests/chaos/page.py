"""The result as a page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from chaos.quota import Outcome, Quota

INTRODUCTION = """\
# Chaos

`{command}` lets drivers, engines, machines, stores and clocks fail while studies run, and compares the table of every
run, and its trace where it has one, with those of the same study in peace. A mishap counts once, under one kind, and
only if it happened: a signal to a process that is no longer there is none.

**{total:,} mishaps in {runs:,} runs: {lost} rows lost, {doubled} doubled, {changed} that differ, of {rows:,}**
(of trials and of evaluations).
That took {minutes:.0f} minutes on {cores} cores that had other work, too.
"""
WORLDS = """\
## What the worlds are

* **simulated**: the driver, the searches, the store and the handling of failures, in one process, on engines that
  answer with a formula of their noises; seeded coins decide what happens. A driver is killed when it has taken a row,
  or in the middle of a write, and leaves its half of a file behind. The object store is one in memory: an answer of it
  may be lost though the object is there, and a driver that froze may wake when another one has taken its place. What
  both have stored is read once; a folder's rows are counted as they lie there.
* **driver processes**: `tts-bench run` with a real engine on the CPU. The system kills it, stops it for a while, or
  refuses every byte that it writes.
* **a Ray cluster**: a head and two nodes on one machine, real engines in processes of their own. A node goes without a
  word, with everything on it.

Machines of their own, GPUs and networks fail in further ways, which are not counted here. Clocks leap in
simulated worlds only.
"""


def page(quotas: Mapping[str, Quota], outcomes: Mapping[str, Outcome], command: str, cores: int | None) -> str:
    """The result as Markdown, by world."""
    total, seconds = sum((quota.came for quota in quotas.values()), Counter[str]()), 0.0
    sums = {name: sum(getattr(each, name) for each in outcomes.values()) for name in vars(Outcome())}
    seconds = sums.pop("seconds")
    facts = {**sums, "command": command, "total": total.total(), "minutes": seconds / 60, "cores": cores}
    mishaps = [
        f"| {where} | {kind} | {count:,} |"
        for where, quota in quotas.items()
        for kind, count in sorted(quota.came.items())
    ]
    results = [
        f"| {where} | {quotas[where].came.total():,} | {each.runs:,} | {each.starts:,} | {each.rows:,} | {each.lost} "
        f"| {each.doubled} | {each.changed} | {each.seconds:,.0f} |"
        for where, each in outcomes.items()
    ]
    return "\n".join(
        [
            INTRODUCTION.format(**facts),
            "| world | mishaps | runs | drivers started | rows compared | lost | doubled | differ | seconds |",
            "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
            *results,
            "",
            "## Mishaps by kind",
            "",
            "| world | what befell it | times |",
            "|---|---|--:|",
            *mishaps,
            f"| | **in all** | **{total.total():,}** |",
            "",
            WORLDS,
        ]
    )
