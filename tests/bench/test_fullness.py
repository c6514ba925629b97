"""How full passes are, counted: against counts by hand, and near what no order of work can do without."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.benchmarks import fullness
from bench.benchmarks.fullness import Counted, best_passes, counted, fed, fewest, filled_batch, study_of

STEPS, PASSES = 6, 11  # Heun's last step is one pass


def test_naive_sampling_by_hand() -> None:
    """Three problems are a row each on one engine, two on one and one on the other."""
    assert counted(study_of("naive", 3, 1, 4, STEPS)) == Counted(
        "naive", 3, 1, 4, passes=[PASSES], rows=[3 * PASSES], ticks=PASSES + 1, first=PASSES + 1
    )
    found = counted(study_of("naive", 3, 2, 4, STEPS))
    assert (found.passes, sorted(found.rows)) == ([PASSES] * 2, [PASSES, 2 * PASSES])
    assert found.full == pytest.approx(3 / 8)


def test_an_answer_that_comes_late_costs_time_and_no_pass() -> None:
    soon, late = (counted(study_of("eps_greedy", 4, 1, 16, STEPS), passes) for passes in (0, 1))
    assert (late.passes, late.rows) == (soon.passes, soon.rows)
    assert late.ticks > soon.ticks
    assert late.whole < soon.whole < soon.full == late.full


@pytest.mark.parametrize(
    ("rows", "passes"),
    [
        ([4, 4, 4], 3),
        ([8, 8], 4),
        ([2, 8, 2], 4),  # two rows are missing in the first pass and in the last one
        ([1, 1, 1], 3),  # what is missing at both ends is the same
        ([3, 9], 4),
    ],
)
def test_the_fewest_passes_of_four_rows(rows: list[int], passes: int) -> None:
    assert fewest(rows, 4) == passes


@pytest.mark.parametrize("search", ["best_of_n", "random", "beam", "eps_greedy", "fk"])
def test_no_run_needs_many_more_passes_than_the_best_order(search: str) -> None:
    study = study_of(search, 20, 2, 16, STEPS)
    found, best = counted(study), best_passes(study, search)
    assert best is not None
    assert best <= max(found.passes) <= best + 1
    assert max(found.passes) - min(found.passes) <= 1


@pytest.mark.parametrize("search", ["random", "eps_greedy"])
def test_passes_stay_full_while_problems_follow(search: str) -> None:
    """Open problems stand at different steps then; if all went on evenly, all would end together, again and again."""
    study = study_of(search, 20, 2, 16, STEPS)
    assert fed(study, ticks=range(100, 200)) > 0.98 > counted(study).full


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fullness.fullness(["naive"], "3", count=1, batch=4, steps=STEPS, output=tmp_path)
    [record] = json.loads((tmp_path / "fullness.json").read_bytes())["records"]
    assert (record["passes"], record["best_passes"], record["full"], record["bound"]) == ([PASSES], PASSES, 0.75, 0.75)
    assert "75.0 %" in capsys.readouterr().out


@pytest.mark.parametrize(("search", "batch"), [("naive", 3), ("best_of_n", 12)])
def test_the_batch_that_problems_fill_is_the_largest_of_those_without_padding(search: str, batch: int) -> None:
    assert filled_batch(search, 3, 1, STEPS) == batch
