"""``tts-bench verify``: rows equal what their recipes give, differ by as much as devices do, or are wrong."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import bench, refused
from PIL import Image
from tiny_study import SHIPPED, TINY

from bench.report.verify_table import sentence
from bench.run import verify as module
from bench.run.replay import stored_study
from bench.run.verify import Check, Verdict, verify
from bench.store import reader as store
from bench.store.images import decoded, image_sha256
from bench.workers.pool import LocalPool, WorkerReport

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with five trials of one search on one reward, and a failed trial."""
    folder = tmp_path_factory.mktemp("verify")
    searches, problems = [{"name": "random", "N": 2}], {"conditions": [0], "seeds": 5}
    config = {
        **TINY,
        "model": {**SHIPPED, "sampler": {"steps": 3, "S_max": 90}},
        "searches": searches,
        "rewards": ["brightness"],
        "problems": problems,
    }
    config["engines"] = {**TINY["engines"], "batch": 2}  # rows are verified one by one
    (folder / "study.json").write_text(json.dumps({**config, "output": str(folder / "run")}))
    assert bench("run", folder / "study.json").code == 0
    return folder / "run"


@pytest.fixture(autouse=True)
def one_engine(finished: Path, engine: LocalPool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all tests play on the same engine."""
    monkeypatch.setattr(module, "LocalPool", lambda study: engine)


@pytest.fixture(scope="module")
def engine(finished: Path) -> Iterator[LocalPool]:
    """An engine that all tests share."""
    pool = LocalPool(stored_study(finished))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "close", lambda: None)
        yield pool
    pool.close()


def changed(run: Path, to: Path, change: Callable[[Rows], object]) -> Path:
    """A copy of the run with changed rows."""
    copy = shutil.copytree(run, to)
    [part] = (copy / "trials").iterdir()
    table = pq.read_table(part)
    rows = table.to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, table.schema), part)
    return copy


def verdicts(run: Path, sample: int = 20) -> list[Verdict]:
    return sorted(check.verdict for check in verify(run, sample))


def brighter(row: dict[str, Any], by: int) -> None:
    """Change a row's image by some levels, and its digest accordingly."""
    levels = decoded(row["image"]).astype(int) + by
    file = io.BytesIO()
    Image.fromarray(levels.clip(0, 255).astype(np.uint8)).save(file, "png")
    row["image"], row["image_sha256"] = file.getvalue(), image_sha256(file.getvalue())


def test_a_run_of_this_machine_is_the_same(finished: Path) -> None:
    result = bench("verify", finished)
    assert result.code == 0
    assert "5 of 5 trials are the same, pixels and rewards" in result.words


def test_trials_are_drawn_by_the_seed(finished: Path) -> None:
    drawn = [[check.trial for check in verify(finished, 3, seed)] for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert [len(trials) for trials in drawn] == [3, 3, 3]
    assert set(drawn[0]) <= {row["trial"] for row in store.read(finished).to_pylist()}


@pytest.mark.parametrize(
    ("change", "verdict", "code"),
    [
        (lambda row: row.update(score_brightness=row["score_brightness"] + 1e-6), Verdict.WRONG, 4),
        (lambda row: brighter(row, 1), Verdict.WRONG, 4),
        (lambda row: row.update(image=b"no image"), Verdict.WRONG, 4),
        (lambda row: row.update(score_brightness=None), Verdict.WRONG, 4),
        (lambda row: row.update(device="another"), Verdict.SAME, 0),
        (lambda row: row.update(device="another", score_brightness=row["score_brightness"] + 1e-6), Verdict.CLOSE, 0),
        (lambda row: (row.update(device="another"), brighter(row, 1)), Verdict.CLOSE, 0),
        (lambda row: (row.update(device="another"), brighter(row, 40)), Verdict.WRONG, 4),
        (lambda row: row.update(device="another", score_brightness=row["score_brightness"] + 0.5), Verdict.WRONG, 4),
        (lambda row: row.update(device="another", score_brightness=None), Verdict.WRONG, 4),
    ],
)
def test_what_is_wrong_is_told_from_what_a_device_does(
    change: Callable[[dict[str, Any]], object], verdict: Verdict, code: int, finished: Path, tmp_path: Path
) -> None:
    run = changed(finished, tmp_path / "copy", lambda rows: change(rows[0]))
    result = bench("verify", run, "--json")
    said = json.loads(result.out)
    assert sorted(check["verdict"] for check in said) == sorted([verdict] + 4 * [Verdict.SAME])
    assert result.code == code
    if verdict is Verdict.CLOSE:
        assert bench("verify", run, "--exact").code == 4


def test_rows_that_have_failed_are_not_drawn(finished: Path, tmp_path: Path) -> None:
    def fail(rows: Rows) -> None:
        for row in rows[1:]:
            row.update(error="no luck")

    run = changed(finished, tmp_path / "copy", fail)
    assert verdicts(run) == [Verdict.SAME]
    none = changed(finished, tmp_path / "none", lambda rows: [row.update(error="no luck") for row in rows])
    refused("no trial is finished without an error", "verify", none)


def test_a_folder_names_no_code(finished: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(finished, tmp_path / "copy")
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["config"]["model"] = {"name": "subprocess:getoutput", "cmd": "touch ran"}
    (copy / "manifest.json").write_text(json.dumps(manifest))
    refused("names code, a file or an address", "verify", copy)


def test_a_recipe_that_is_none_is_named(finished: Path, tmp_path: Path) -> None:
    run = changed(finished, tmp_path / "copy", lambda rows: rows[0].update(noises=rows[0]["noises"][:1]))
    refused("has no recipe of 3 steps", "verify", run)


def test_the_line_counts_each_kind() -> None:
    checks = [Check("a", "cpu", verdict, True, 0.0, {}) for verdict in (Verdict.SAME, Verdict.CLOSE, Verdict.WRONG)]
    assert sentence(checks).startswith("1 of 3 trials are the same")
    assert "1 differ as another kind of device does" in sentence(checks)
    assert "1 are wrong" in sentence(checks)


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        ([True, True], "2 of 2 trials are the same, pixels and rewards"),
        ([None, None], "2 of 2 trials are the same, rewards only, as no pixels are stored"),
        ([True, None], "2 of 2 trials are the same, rewards, and the pixels of 1"),
    ],
)
def test_the_line_claims_no_pixels_that_are_not_stored(pixels: list[bool | None], said: str) -> None:
    assert sentence([Check("a", "cpu", Verdict.SAME, each, None, {}) for each in pixels]) == said


def test_a_reward_that_fails_is_no_wrong_row(
    finished: Path, engine: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait() -> list[WorkerReport]:
        reports = LocalPool.wait(engine)
        for outcome in (outcome for report in reports for outcome in report.outcomes):
            outcome.scores, outcome.errors = {}, {"brightness": "reward brightness: its server does not answer"}
        return reports

    monkeypatch.setattr(engine, "wait", wait, raising=False)
    result = bench("verify", finished)
    assert (result.code, result.out) == (1, "")
    assert re.search(r"trial [0-9a-f]{32}: reward brightness: its server does not answer", result.err)


def test_differences_that_are_no_numbers_are_null_for_programs(finished: Path, tmp_path: Path) -> None:
    run = changed(finished, tmp_path / "copy", lambda rows: rows[0].update(score_brightness=None, image=b"no image"))

    def refuse(text: str) -> None:
        raise AssertionError(text)

    said = json.loads(bench("verify", run, "--json").out, parse_constant=refuse)
    [wrong] = [check for check in said if check["verdict"] == Verdict.WRONG]
    assert (wrong["rewards"], wrong["levels"]) == ({"brightness": None}, None)
