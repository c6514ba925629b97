"""A share of ``make chaos``: every kind of simulated pool once, through everything that may befall it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from chaos import Verdict, simulated


def test_a_run_through_every_mishap_has_the_undisturbed_table(tmp_path: Path) -> None:
    tally, verdict = Counter[str](), Verdict()
    simulated(1, tmp_path, tally, verdict)
    assert (verdict.runs, verdict.lost, verdict.doubled, verdict.changed) == (4, 0, 0, 0)
    assert tally["drivers, simulated"] > 10
    assert tally["store faults"] > 10
    assert tally.total() > 200
