"""``make chaos``: a thousand mishaps, and the table of every run is that of the undisturbed one.

Most befall simulated engines in this process; driver processes with real engines are killed and frozen; last, engines
and nodes of a real cluster. The counts are written to ``results/chaos.md``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

if "TTS_BENCH_TEST_LOCKS" not in os.environ:  # driver processes import this module, too
    os.environ["TTS_BENCH_TEST_LOCKS"] = tempfile.mkdtemp(prefix="tts-bench-chaos-")

import chaos_worlds
from chaos_processes import killed_drivers
from tiny_study import save_weights

PAGE = Path(__file__).parents[1] / "results" / "chaos.md"
Rows = list[dict[str, Any]]


class Verdict:
    """What became of all runs' rows.

    Args:
        rows: of undisturbed tables, run by run.
        lost, doubled, changed: that are not there, there twice, or others.
    """

    def __init__(self) -> None:
        self.runs = self.rows = self.lost = self.doubled = self.changed = 0

    def compare(self, found: Rows, calm: Rows) -> None:
        """Add a run."""
        right, keys = {row["trial"]: row for row in calm}, Counter(row["trial"] for row in found)
        self.runs, self.rows = self.runs + 1, self.rows + len(calm)
        self.lost += len(right.keys() - keys.keys())
        self.doubled += sum(count - 1 for count in keys.values())
        self.changed += sum(row != right.get(row["trial"]) for row in found)

    @property
    def sound(self) -> bool:
        """Whether every table is that of the undisturbed run."""
        return not (self.lost or self.doubled or self.changed)


def simulated(kills: int, folder: Path, tally: Counter[str], verdict: Verdict) -> None:
    """Disturb every kind of simulated pool in turn until so many have ended, or frozen."""
    studies = chaos_worlds.studies()
    tables = {kind: chaos_worlds.calm(of, kind, folder / f"calm {kind}") for kind, of in studies.items()}
    seed = 0
    while sum(tally.values()) < kills:
        seed += 1
        for kind, of in studies.items():
            where = folder / f"{seed} {kind}"
            verdict.compare(chaos_worlds.disturbed(of, kind, where, seed, tally), tables[kind])
            shutil.rmtree(where)


def page(tally: Counter[str], verdict: Verdict, seconds: float, command: str) -> str:
    """The result as Markdown."""
    lines = [f"| {kind} | {count:,} |" for kind, count in sorted(tally.items()) if count]
    return "\n".join(
        [
            "# Chaos",
            "",
            f"`{command}` ran {verdict.runs} runs of {verdict.rows:,} trials in all through these mishaps in "
            f"{seconds / 60:.0f} minutes, and compared each table with the undisturbed run's.",
            "",
            "| what befell them | times |",
            "|---|--:|",
            *lines,
            f"| **in all** | **{tally.total():,}** |",
            "",
            f"Rows lost: {verdict.lost}. Rows doubled: {verdict.doubled}. Rows that differ: {verdict.changed}.",
            "",
        ]
    )


def main() -> int:
    """Run it."""
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--kills", type=int, default=1000, help="mishaps in all")
    ask.add_argument("--drivers", type=int, default=60, help="of them, SIGKILLs and SIGSTOPs of driver processes")
    ask.add_argument("--ray", type=int, default=12, help="of them, on a real cluster")
    ask.add_argument("--write", type=Path, default=PAGE)
    asked = ask.parse_args()
    save_weights()
    tally, verdict, begin = Counter[str](), Verdict(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="tts-bench-chaos-") as folder:
        if asked.drivers:
            verdict.compare(*killed_drivers(asked.drivers, Path(folder) / "drivers", tally))
        if asked.ray:
            from chaos_cluster import befallen

            verdict.compare(*befallen(asked.ray, Path(folder) / "ray", tally))
        simulated(asked.kills, Path(folder), tally, verdict)
    text = page(tally, verdict, time.monotonic() - begin, "make chaos")
    asked.write.write_text(text, encoding="utf-8")
    sys.stdout.write(text)
    return not verdict.sound


if __name__ == "__main__":
    sys.exit(main())
