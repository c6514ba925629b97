"""Runs that share a folder, failed trials that run again, and images in files."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from command_line import Result, bench, refused, size, tree
from driver_processes import table
from own_searches import BROKEN
from rich.console import Console
from tiny_study import SHIPPED, TINY

from bench.run.start import run
from bench.store import manifest
from bench.store import reader as store
from bench.store.writer import Store
from bench.study.config import RunConfig
from bench.study.study import Study
from tts.errors import SettingError

QUIET = Console(quiet=True)
SHARDS = 3

STUDY: dict[str, Any] = {
    **TINY,
    "model": SHIPPED,  # so that a folder is replayed without trust
    "searches": ["naive", {"name": "random", "N": 2}, {"name": "mcts", "N": 2, "budget": {"S": [1, 3]}}],
    "rewards": ["brightness", "compressibility"],
    "problems": {"conditions": [0, "cat", 7], "seeds": 2},
    "engines": {"backend": "local", "batch": 4, "simulate": 0.0},
}
TRIALS = 4 * 2 * 3 * 2


def configured(folder: Path, **changes: Any) -> RunConfig:
    """The study in a folder."""
    return RunConfig.model_validate({**STUDY, "output": str(folder), **changes})


def command(path: Path, *arguments: object, **changes: Any) -> Result:
    """``tts-bench run`` of the study in the folder ``run`` beside its file."""
    path.write_text(yaml.safe_dump({**STUDY, "output": str(path.with_name("run")), **changes}))
    return bench("run", path, *arguments)


@pytest.fixture(scope="module")
def undivided(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The table of one run."""
    folder = tmp_path_factory.mktemp("undivided")
    run(configured(folder), QUIET)
    found = table(folder)
    assert len(found) == TRIALS
    return found


# Shards


@pytest.mark.parametrize("order", list(permutations(range(SHARDS)))[::2])
def test_shards_in_any_order_are_one_run(
    order: tuple[int, ...], undivided: list[dict[str, Any]], tmp_path: Path
) -> None:
    for done, shard in enumerate(order, 1):
        run(configured(tmp_path, shard=f"{shard}/{SHARDS}"), QUIET)
        assert len(store.done(tmp_path)) == done * TRIALS // SHARDS
    assert table(tmp_path) == undivided
    before = [path.name for path in (tmp_path / "trials").iterdir()]
    assert run(configured(tmp_path), QUIET).counts is None  # the undivided run is done, too
    assert [path.name for path in (tmp_path / "trials").iterdir()] == before


def test_shards_side_by_side_are_one_run(undivided: list[dict[str, Any]], tmp_path: Path) -> None:
    ends: list[int] = []

    def work(shard: int) -> None:
        config = configured(tmp_path, shard=f"{shard}/{SHARDS}", flush_seconds=0.0)
        finished = run(config, QUIET)
        assert finished.counts is not None
        ends.append(finished.counts.trials)

    threads = [threading.Thread(target=work, args=(shard,)) for shard in range(SHARDS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ends == [TRIALS // SHARDS] * SHARDS
    assert table(tmp_path) == undivided
    for shard in range(SHARDS):
        status = json.loads((tmp_path / f"status-{shard}of{SHARDS}.json").read_text())
        assert (status["state"], status["done"], status["trials"]) == ("done", TRIALS // 3, TRIALS // 3)
    shown = [line for line in bench("status", tmp_path).out.splitlines() if line.startswith(str(tmp_path))]
    assert [line.split(": done, 16 of 16")[0] for line in shown] == [
        f"{tmp_path} (shard {shard}/{SHARDS})" for shard in range(SHARDS)
    ]


def test_a_shard_may_begin_while_another_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = Study(configured(tmp_path)).digest()
    looks = iter([None, digest, None, "another"])
    (tmp_path / "manifest.json").write_text("{}")
    monkeypatch.setattr(store, "begun", lambda _: next(looks))
    store.check(tmp_path, digest)
    with pytest.raises(SettingError, match="belongs to another configuration"):
        store.check(tmp_path, digest)


def held(folder: Path, shard: int, number: int = SHARDS) -> Store:
    """A shard that another driver holds."""
    study = Study(configured(folder))
    made = Store(folder, study.rewards, shard=(shard, number))
    made.open(study.digest(), manifest.build(study, ["simulated"]))
    return made


def test_a_shard_is_run_by_one_driver_at_a_time(tmp_path: Path) -> None:
    path, other = tmp_path / "study.yaml", held(tmp_path / "run", 1)
    result = command(path, "--shard", "1/3")
    assert (result.code, result.out) == (2, "")
    assert result.err == f"error: output {tmp_path / 'run'}: another run is writing to this folder\n"
    assert command(path, "--shard", "2/3").code == 0
    other.close()
    assert command(path, "--shard", "1/3").code == 0
    assert len(store.done(tmp_path / "run")) == 2 * TRIALS // SHARDS


def test_the_whole_and_other_divisions_are_kept_out_while_shards_run(tmp_path: Path) -> None:
    digest, ours = Study(configured(tmp_path)).digest(), held(tmp_path, 0)
    with pytest.raises(SettingError, match="another run is writing to this folder"):
        Store(tmp_path, ()).open(digest, {})
    with pytest.raises(SettingError, match="shards of 3 are being written there, and this is one of 4"):
        Store(tmp_path, (), shard=(1, 4)).open(digest, {})
    held(tmp_path, 1).close()
    ours.close()
    whole = Store(tmp_path, ())
    whole.open(digest, {})
    with pytest.raises(SettingError, match="another run is writing to this folder"):
        held(tmp_path, 1)
    whole.close()
    held(tmp_path, 1, number=4).close()


@pytest.mark.parametrize("given", [("--shard", "1/2"), ("--set", "shard=1/2")], ids=["option", "setting"])
def test_a_shard_without_trials_is_done_at_once(tmp_path: Path, given: tuple[str, str]) -> None:
    study = {"searches": ["naive"], "rewards": ["brightness"], "problems": {"conditions": [0]}}
    result = command(tmp_path / "run.yaml", *given, **study)
    assert (result.code, result.err) == (0, "")
    assert "shard 1/2: has no trials; there are fewer of them than shards" in result.words
    planned = bench("plan", tmp_path / "run.yaml", "--set", "shard=1/2")
    assert (planned.code, planned.err) == (0, "")
    assert planned.out.startswith("trials: 0 of 1 problems; ")


def test_what_another_shard_is_writing_is_left_alone(tmp_path: Path) -> None:
    """A shard deletes what its own killed driver has left, and nothing else."""
    run(configured(tmp_path, shard="1/3"), QUIET)
    torn = {name: tmp_path / "trials" / f".part-{name}-x-00000.parquet.1.tmp" for name in ("s0of3", "s1of3", "s1of30")}
    for path in torn.values():
        path.write_bytes(b"PAR1")
    run(configured(tmp_path, shard="1/3"), QUIET)
    assert {name for name, path in torn.items() if path.exists()} == {"s0of3", "s1of30"}


def test_a_shard_that_is_done_says_so_and_does_nothing(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    assert command(path, "--shard", "0/3").code == 0
    parts = tree(tmp_path / "run" / "trials")
    again = command(path, "--shard", "0/3")
    assert (again.code, again.err) == (0, "")
    assert tree(tmp_path / "run" / "trials") == parts


@pytest.mark.parametrize("shard", ["3/3", "a/3", "x", "1/2/3", "-1/3", "/"])
def test_what_is_no_shard_is_refused(shard: str, tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump({**STUDY, "output": str(tmp_path / "run")}))
    refused(f"shard = '{shard}': expected I/N with 0 <= I < N", "run", path, f"--shard={shard}")
    assert list(tmp_path.iterdir()) == [path]


# Trials that fail


FAILING: dict[str, Any] = {
    "searches": ["naive", "own_searches:Fickle"],
    "problems": {"conditions": [0, 3], "seeds": 1},
    "rewards": ["brightness"],
}


def test_a_trial_that_fails_is_a_row_and_is_run_again_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, folder = tmp_path / "study.yaml", tmp_path / "run"
    monkeypatch.setenv(BROKEN, "3")
    first = command(path, **FAILING)
    reason = "search Fickle: RuntimeError: no luck with 3"
    assert (first.code, first.err) == (3, "")
    assert f"1 trials failed and are in no curve; the first: {reason}" in first.out
    assert "Fickle" in first.out
    rows = table(folder)
    [bad] = [row for row in rows if row["error"] is not None]
    assert (bad["error"], bad["condition"], bad["value"], bad["nfe"]) == (reason, "3", None, None)
    curves = pq.read_table(folder / "curves.parquet").to_pylist()
    assert {curve["search"]: curve["n"] for curve in curves} == {"naive": 2, "Fickle": 1}
    assert json.loads((folder / "status.json").read_text())["failed"] == 1
    parts = tree(folder / "trials")

    again = command(path, **FAILING)
    assert (again.code, again.err) == (3, "")
    assert f"{folder}: all 4 trials are done" in again.out
    assert tree(folder / "trials") == parts
    assert command(path, "--errors-ok", **FAILING).code == 0

    retried = command(path, "--retry-errors", **FAILING)  # they fail again
    assert (retried.code, len(table(folder))) == (3, 4)
    monkeypatch.delenv(BROKEN)
    mended = command(path, "--retry-errors", **FAILING)
    assert (mended.code, mended.err) == (0, "")
    assert "resuming: 3 of 4 trials are done" in mended.out
    assert "failed" not in mended.out
    found = table(folder)
    assert [row["trial"] for row in found] == [row["trial"] for row in rows]
    assert [row for row in found if row["trial"] != bad["trial"]] == [row for row in rows if row["error"] is None]
    assert {row["error"] for row in found} == {None}


def test_a_shard_runs_only_its_own_errors_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {**FAILING, "searches": ["own_searches:Fickle"], "problems": {"conditions": [0, 3], "seeds": 2}}
    monkeypatch.setenv(BROKEN, "3")
    for shard in range(2):
        run(configured(tmp_path, shard=f"{shard}/2", **{**values, "rewards": ["brightness", "compressibility"]}), QUIET)
    failed = [row["trial"] for row in table(tmp_path) if row["error"]]
    assert len(failed) == 4
    monkeypatch.delenv(BROKEN)
    config = configured(tmp_path, shard="0/2", **{**values, "rewards": ["brightness", "compressibility"]})
    run(config, QUIET, retry_errors=True)
    own = {trial.key for trial in Study(config).shard_trials()}
    assert {row["trial"] for row in table(tmp_path) if row["error"]} == set(failed) - own
    assert len(table(tmp_path)) == len({row["trial"] for row in table(tmp_path)}) == 8


def test_too_many_failures_stop_the_run_and_it_can_be_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "study.yaml"
    monkeypatch.setenv(BROKEN, "all")
    result = command(path, **FAILING, max_errors=1)
    assert result.code == 1
    assert "2 trials failed, more than max_errors = 1; the last: search Fickle: RuntimeError: no luck" in result.err
    assert json.loads((tmp_path / "run" / "status.json").read_text())["state"] == "stopped"
    monkeypatch.delenv(BROKEN)
    assert command(path, "--retry-errors", **FAILING, max_errors=1).code == 0
    assert {row["error"] for row in table(tmp_path / "run")} == {None}


# Images in files


@pytest.mark.usefixtures("drawn")
def test_images_in_files_are_images_everywhere(tmp_path: Path) -> None:
    path, folder = tmp_path / "study.yaml", tmp_path / "run"
    changes = {"searches": ["naive"], "rewards": ["brightness"], "problems": {"conditions": [0, 3]}}
    changes |= {"images": "files", "engines": {**TINY["engines"], "batch": 2}}
    assert command(path, **changes).code == 0
    rows = store.read(folder).to_pylist()
    assert {(row["image"], row["image_file"]) for row in rows} == {(None, f"images/{r['trial']}.png") for r in rows}
    assert sorted(file.name for file in (folder / "images").iterdir()) == sorted(f"{r['trial']}.png" for r in rows)
    assert {size(folder / row["image_file"]) for row in rows} == {(32, 32)}

    drawn = (folder / "images.png").read_bytes()
    (folder / "images.png").unlink()
    assert bench("curves", folder).code == 0
    assert (folder / "images.png").read_bytes() == drawn

    trial, other = (row["trial"] for row in rows)
    assert "the image is identical to the stored one" in bench("replay", folder, trial).out
    os.replace(folder / "images" / f"{other}.png", folder / "images" / f"{trial}.png")  # noqa: PTH105
    result = bench("replay", folder, trial)
    assert (result.code, "the image differs from the stored one" in result.out) == (1, True)


def test_an_export_holds_the_images_that_lay_in_files(tiny: Callable[..., RunConfig], tmp_path: Path) -> None:
    values = {"searches": ["naive"], "rewards": ["brightness"]}
    run(tiny(output="files", images="files", **values), QUIET)
    run(tiny(output="rows", **values), QUIET)
    assert bench("export", tmp_path / "files", tmp_path / "out").code == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "manifest.json", "trials", "curves.parquet", "curves.png", "images.png"
    }  # fmt: skip
    assert table(tmp_path / "out") == table(tmp_path / "rows")
    assert bench("export", tmp_path / "files", tmp_path / "small", "--no-images").code == 0
    small = store.read(tmp_path / "small")
    assert small["image"].null_count == small["image_file"].null_count == len(small) == 2
