"""Comparison of two runs: same trials, same outcomes, and whether a difference is more than noise."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import bench, refused
from stored_runs import MANIFEST, picture, rows, stored

from bench.report.compare import Comparison, Verdict, compare, exit_code
from bench.report.compare_table import ROWS, to_json, words
from bench.report.outcomes import outcomes
from bench.statistics.intervals import estimate
from bench.store.schema import TIMED

Rows = list[dict[str, Any]]
Change = Callable[[int, dict[str, Any]], dict[str, Any]]

ROW = rows(problems=8, rewards=("brightness", "compressibility"))
SEARCHES = 25  # points of the made-up run, for each reward


def changed(change: Change) -> Rows:
    """The run's rows, each with changes."""
    return [{**row, **change(number, row)} for number, row in enumerate(ROW)]


@pytest.fixture(scope="module")
def a(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run."""
    return stored(tmp_path_factory.mktemp("compare") / "a", ROW)


def column(found: Comparison, name: str) -> tuple[int, int]:
    """Number of trials in which a column was compared, and in which it differs."""
    [one] = [column for column in found.columns if column.name == name]
    return one.compared, one.different


def test_the_same_trials_in_another_order_at_another_time_are_identical(a: Path, tmp_path: Path) -> None:
    later = [{**row, "device_seconds": 9.0, "wall_seconds": 9.0, "shared_nfe": 5, "device": "H100"} for row in ROW]
    found = compare(a, stored(tmp_path / "b", later[::-1]))
    assert found.verdict is Verdict.IDENTICAL
    assert found.same_trials
    assert found.same_identities
    assert (found.common, found.different, found.points, found.settings, found.missing) == (len(ROW), 0, [], [], [])
    assert {entry.name for entry in found.columns}.isdisjoint(TIMED)
    assert [exit_code(found, exact=exact) for exact in (False, True)] == [0, 0]
    assert words(found)[-1] == f"Identical: all {len(ROW)} common trials agree in every outcome."


def test_a_row_that_two_writers_have_stored_counts_once(a: Path, tmp_path: Path) -> None:
    found = compare(a, stored(tmp_path / "b", [*ROW, ROW[0], ROW[1]]))
    assert (found.trials, found.verdict) == ((len(ROW), len(ROW)), Verdict.IDENTICAL)


def test_images_in_files_are_those_in_rows(a: Path, tmp_path: Path) -> None:
    files = stored(tmp_path / "b", ROW, image_files=True)
    assert column(compare(a, files), "image") == (len(ROW), 0)
    next((files / "images").iterdir()).write_bytes(picture(1))
    found = compare(a, files)
    assert column(found, "image") == (len(ROW), 1)
    assert (found.verdict, found.points) == (Verdict.WITHIN_NOISE, [])
    assert [exit_code(found, exact=exact) for exact in (False, True)] == [0, 4]


def test_images_that_were_not_kept_are_not_compared(a: Path, tmp_path: Path) -> None:
    found = compare(a, stored(tmp_path / "b", changed(lambda number, _: {"image": None} if number < 10 else {})))
    assert found.verdict is Verdict.IDENTICAL
    assert column(found, "image") == (len(ROW) - 10, 0)
    assert "10 images were not kept in both and not compared." in words(found)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("noises", [{"seed": 1, "moves": []}, None, None]),
        ("image", picture(99)),
        ("value", None),
        ("score_compressibility", 0.125),
        ("nfe", 1),
        ("decodes", 77),
        ("samples", [0.1, None]),
    ],
)
def test_one_other_outcome_of_one_trial_is_seen(a: Path, tmp_path: Path, name: str, value: Any) -> None:
    place = next(k for k, row in enumerate(ROW) if row["search"] == "best_of_n")
    found = compare(a, stored(tmp_path / "b", changed(lambda number, _: {name: value} if number == place else {})))
    assert (found.different, found.verdict) == (1, Verdict.WITHIN_NOISE)
    assert {entry.name for entry in found.columns if entry.different} == {name}
    assert words(found)[-1] == f"Different within noise: 1 of {len(ROW)} common trials differ."


def test_a_failed_trial_is_another_outcome(a: Path, tmp_path: Path) -> None:
    outcome = dict.fromkeys(("value", "nfe", "decodes", "noises", "image"))
    failed = changed(lambda number, _: {**outcome, "error": "no luck"} if number == 3 else {})
    found = compare(a, stored(tmp_path / "b", failed))
    assert column(found, "error") == (len(ROW), 1)
    assert found.different == 1
    other = [{**row, "error": row["error"] and "in other words"} if "error" in row else row for row in failed]
    again = compare(stored(tmp_path / "c", failed), stored(tmp_path / "d", other))
    assert again.verdict is Verdict.IDENTICAL


def test_trials_with_other_identities_are_paired_by_what_they_are(a: Path, tmp_path: Path) -> None:
    other = changed(lambda number, _: {"trial": f"{number:032x}"})
    resolved = {**MANIFEST["resolved"], "numerics": {"batch": 16, "device": "cpu"}}
    found = compare(a, stored(tmp_path / "b", other, resolved=resolved))
    assert (found.same_trials, found.same_identities, found.verdict) == (True, False, Verdict.IDENTICAL)
    assert [tuple(difference) for difference in found.settings] == [("numerics.batch", 8, 16)]
    assert "Their identities differ" in " ".join(words(found))


def test_another_seed_of_the_run_is_another_study(a: Path, tmp_path: Path) -> None:
    found = compare(a, stored(tmp_path / "b", changed(lambda _, row: {"problem_seed": row["problem_seed"] + 1})))
    assert (found.common, found.verdict) == (0, Verdict.NOTHING)
    assert [exit_code(found, common=common) for common in (False, True)] == [5, 5]
    json.loads(to_json(found, 5))


def test_trials_that_one_run_lacks_are_counted_by_point(a: Path, tmp_path: Path) -> None:
    fewer = [row for row in ROW if row["search"] != "beam" and row is not ROW[0]]
    found = compare(a, stored(tmp_path / "b", fewer))
    assert found.trials == (len(ROW), len(fewer))
    assert found.common == len(fewer)
    naive, *beams = sorted(found.missing, key=lambda missing: missing.only_a)
    assert (naive.search, naive.reward, naive.only_a, naive.only_b) == ("naive", "brightness", 1, 0)
    assert {(beam.search, beam.only_a, beam.only_b) for beam in beams} == {("beam", 8, 0)}
    assert len(beams) == 6
    assert found.verdict is Verdict.IDENTICAL
    assert [exit_code(found, common=common) for common in (False, True)] == [5, 0]
    assert words(found)[0] == (
        f"A holds {len(ROW)} trials, B {len(fewer)}: {len(fewer)} in common, {len(ROW) - len(fewer)} only in A, "
        "0 only in B."
    )


def test_rewards_that_one_run_lacks_are_named(a: Path, tmp_path: Path) -> None:
    other = [{name: value for name, value in row.items() if name != "score_class_probability"} for row in ROW]
    found = compare(a, stored(tmp_path / "b", other))
    assert (found.only_a, found.only_b, found.verdict) == (["score_class_probability"], [], Verdict.IDENTICAL)
    assert "Only A has the column score_class_probability; not compared." in words(found)


def noisy(size: float, shift: float = 0.0, only: str = "mcts") -> Rows:
    """The run with noise on its values, and one search shifted."""
    generator = np.random.default_rng(0)
    noise = size * generator.standard_normal(len(ROW))
    return changed(lambda number, row: {"value": row["value"] + noise[number] + shift * (row["search"] == only)})


def test_noise_is_noise(a: Path, tmp_path: Path) -> None:
    found = compare(a, stored(tmp_path / "b", noisy(0.01)))
    assert (found.verdict, found.different) == (Verdict.WITHIN_NOISE, len(ROW))
    assert (len(found.points), found.tested) == (2 * SEARCHES, 2 * SEARCHES)
    assert {point.measure for point in found.points} == {"value"}
    assert [exit_code(found, exact=exact) for exact in (False, True)] == [0, 4]


def test_a_shift_of_one_search_is_more_than_noise(tmp_path: Path) -> None:
    many = rows(problems=30, rewards=("brightness",))
    b = [{**row, "value": row["value"] + 0.05 * (row["search"] == "mcts")} for row in many]
    generator = np.random.default_rng(0)
    b = [{**row, "value": row["value"] + 0.01 * generator.standard_normal()} for row in b]
    runs = stored(tmp_path / "a", many), stored(tmp_path / "b", b)
    found = compare(*runs)
    assert found.verdict is Verdict.BEYOND_NOISE
    assert {point.search for point in found.beyond} == {"mcts"}
    assert len(found.beyond) == 3
    assert exit_code(found) == exit_code(found, exact=True) == 4
    for point in found.beyond:
        assert point.low < 0.05 < point.high
        assert point.mean == pytest.approx(point.mean_b - point.mean_a)
        mine = [k for k, row in enumerate(many) if row["settings"] == point.settings]
        expected = estimate(np.array([b[k]["value"] - many[k]["value"] for k in mine]))
        assert (point.n, point.mean) == (expected.n, pytest.approx(expected.mean))
    assert found.too_few == []
    assert replace(found, tested=2000).too_few == found.points  # drawn signs give no p below 1 / 20001
    assert compare(*runs, tolerance=0.06).verdict is Verdict.WITHIN_NOISE


def test_another_cost_is_measured_like_another_value(a: Path, tmp_path: Path) -> None:
    found = compare(a, stored(tmp_path / "b", changed(lambda _, row: {"nfe": row["nfe"] + 1})))
    assert {point.measure for point in found.points} == {"nfe"}
    assert {(point.mean, point.low, point.high, point.largest) for point in found.points} == {(1.0, 1.0, 1.0, 1.0)}


def test_few_problems_are_said_to_be_few(tmp_path: Path) -> None:
    few = rows(problems=2, rewards=("brightness",))
    b = [{**row, "value": row["value"] + 1} for row in few]
    found = compare(stored(tmp_path / "a", few), stored(tmp_path / "b", b))
    assert found.verdict is Verdict.WITHIN_NOISE
    assert len(found.too_few) == SEARCHES
    assert f"{SEARCHES} of them have too few problems (2 or fewer)" in " ".join(words(found))


# The command


def test_the_command_says_it_in_tables_and_in_words(a: Path, tmp_path: Path) -> None:
    b = stored(tmp_path / "b", noisy(0.01)[:-1], versions={"torch": "2.9.0"})
    result = bench("compare", a, b)
    assert (result.code, result.err) == (5, "")
    for expected in ("versions.torch 2.8.0 2.9.0", f"and {2 * SEARCHES - ROWS} more", "Different within noise: 399 of"):
        assert expected in result.words
    assert bench("compare", a, b, "--common").code == 0
    assert bench("compare", a, b, "--common", "--exact").code == 4


def test_the_command_says_it_in_json(a: Path, tmp_path: Path) -> None:
    b = stored(tmp_path / "b", noisy(0.01))
    result = bench("compare", a, b, "--json", "--exact")
    found = json.loads(result.out)
    assert (result.code, found["exit_code"], found["verdict"]) == (4, 4, "different within noise")
    assert (found["common"], len(found["points"])) == (len(ROW), 2 * SEARCHES)
    assert found["points"][0]["measure"] == "value"
    assert found["columns"][0] == {
        "name": "value",
        "compared": len(ROW),
        "different": len(ROW),
        "largest": found["columns"][0]["largest"],
    }


def test_what_is_no_run_is_refused(a: Path, tmp_path: Path) -> None:
    refused("not a results folder", "compare", a, tmp_path)
    refused("no trial is finished yet", "compare", stored(tmp_path / "empty", []), a)


def test_a_run_is_held_in_a_few_hundred_bytes_a_trial_whatever_its_images(tmp_path: Path) -> None:
    large = [{**row, "image": row["image"] + bytes(200_000)} for row in ROW[:50]]
    frame = outcomes(stored(tmp_path / "large", large))
    assert frame.memory_usage(deep=True).sum() < 2_000 * len(frame)


@pytest.mark.slow
def test_ten_thousand_trials_take_a_second_or_two(tmp_path: Path) -> None:
    many = [{**row, "trial": f"{25 * k + number:032x}", "problem_seed": k, "seed": k, "image": None}
            for k in range(400) for number, row in enumerate(ROW[:: len(ROW) // SEARCHES])]  # fmt: skip
    b = [{**row, "value": row["value"] + 1e-6 * (number % 7 - 3)} for number, row in enumerate(many)]
    runs = stored(tmp_path / "a", many), stored(tmp_path / "b", b)
    begun = time.process_time()
    assert compare(*runs).common == len(many)
    assert time.process_time() - begun < 10
