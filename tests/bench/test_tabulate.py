"""A policy on a table of rewards gives the same rows as on the model, or says what was not recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from command_line import bench
from rich.console import Console
from tiny_study import SMALL, TINY, save_weights

from bench.run.replay import replay
from bench.run.start import Finished, run
from bench.run.status import read as status_of
from bench.run.tabulate import Tabulated, recording, tabulate, write
from bench.store import reader as store
from bench.store.schema import TIMED
from bench.study.config import RunConfig, load
from bench.study.controls import controls
from bench.study.study import Study
from tts.errors import DataError, SettingError
from tts.settings import parse
from tts.tables import table as tables
from tts.tables.form import COLUMNS, HEADER

QUIET = Console(quiet=True)
POLICIES: list[Any] = [
    "naive",
    {"name": "best_of_n", "budget": {"N": [2, 4]}},
    {"name": "pruned", "N": 4, "keep": [0.5, 0.5], "at": [0.25, 0.5]},
    {"name": "pruned", "N": 3, "keep": [0.4], "at": [0.75]},
    {"name": "own_policies:UpperBound", "N": 4},
]
STUDY: dict[str, Any] = {
    **TINY,
    "model": SMALL,
    "rewards": ["brightness", {"name": "class_probability", "as": "right"}],
    "held_out": ["compressibility"],
    "searches": POLICIES,
}
OTHERWISE = {"trial", "image", *TIMED}
"""Columns in which a row of the model differs from a row of its table."""


def configured(folder: Path, **changes: Any) -> RunConfig:
    return parse(RunConfig, {**STUDY, "output": str(folder), **changes}, "study")


def on_table(file: Path, folder: Path, **changes: Any) -> RunConfig:
    return configured(folder, model={"name": "table", "path": str(file)}, **changes)


def rows(folder: Path) -> list[dict[str, Any]]:
    """The columns that model and table share, sorted by problem, reward and search."""
    found = store.read(folder)
    order = [(name, "ascending") for name in ("problem_seed", "reward", "search", "settings")]
    kept = [name for name in found.column_names if name not in OTHERWISE]
    listed: list[dict[str, Any]] = found.sort_by(order).select(kept).to_pylist()
    return listed


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table, made from a configuration, of two problems with four trajectories each."""
    folder = tmp_path_factory.mktemp("tabulated")
    save_weights()
    (folder / "study.yaml").write_text(yaml.safe_dump({**STUDY, "output": str(folder / "study")}))
    made = tabulate(str(folder / "study.yaml"), 4, None, [], False, QUIET)
    assert made == Tabulated(folder / "study-table" / "table.parquet", trajectories=8, failed=0)
    return made.file


@pytest.fixture(scope="module")
def folders(file: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same policies on the model and on the table."""
    folder = tmp_path_factory.mktemp("played")
    run(configured(folder / "model"), QUIET)
    run(on_table(file, folder / "table"), QUIET)
    return folder / "model", folder / "table"


def test_policies_on_the_table_give_the_rows_of_the_model(folders: tuple[Path, Path]) -> None:
    model, table = map(rows, folders)
    assert len(model) == 2 * 2 * len(POLICIES) + 2 * 2
    assert model == table
    assert {row["search"] for row in table if len(row["noises"]) == 5} == {"naive", "best_of_n", "pruned", "UpperBound"}
    assert all(row["image_sha256"] and row["score_compressibility"] is not None for row in table)
    assert len({row["recipe_hash"] for row in table}) > 4


def test_a_row_of_a_table_has_no_image(folders: tuple[Path, Path], tmp_path: Path) -> None:
    found = store.read(folders[1], ["trial", "image", "device", "device_seconds"])
    assert found["image"].null_count == found.num_rows
    assert set(found["device"].to_pylist()) == {"table"}
    with pytest.raises(SettingError, match="draws no images; take the model that it was recorded from"):
        replay(folders[1], found["trial"][0].as_py(), trust=True)
    with pytest.raises(SettingError, match="draws no images; take the model that it was recorded from"):
        tabulate(str(folders[1]), 2, tmp_path / "again.npz", [], True, Console(quiet=True))


def test_the_table_belongs_to_a_trials_identity(file: Path, folders: tuple[Path, Path]) -> None:
    model, table = (set(store.read(folder, ["trial"])["trial"].to_pylist()) for folder in folders)
    assert not model & table
    resolved = store.read_manifest(folders[1])["resolved"]
    assert resolved["model"] == {"name": "table", "table": tables.read(file).digest}
    other = file.with_name("other.parquet")
    found = pq.read_table(file)
    value = found["reward_brightness"].to_numpy().copy()
    value[0] += 1e-6
    pq.write_table(found.set_column(8, found.schema.field(8), pa.array(value)), other)
    assert Study(on_table(other, file.parent / "x")).digest() != Study(on_table(file, file.parent / "x")).digest()


def test_what_was_not_recorded_fails_that_trial_alone_and_is_named(file: Path, tmp_path: Path) -> None:
    searches = [{"name": "random", "N": 2}, {"name": "best_of_n", "N": 5}, {"name": "best_of_n", "N": 4}]
    run(on_table(file, tmp_path / "run", searches=searches), QUIET)
    found = store.read(tmp_path / "run", ["trial", "search", "settings", "reward", "error", "value"]).to_pylist()
    errors = {(row["search"], row["settings"], row["reward"]): row["error"] for row in found}
    for reward in ("brightness", "right"):
        assert errors["best_of_n", '{"N":4}', reward] is None
        assert errors["best_of_n", '{"N":5}', reward].startswith(
            f"model table: {reward} was asked for where it was not recorded ("
        )
        assert "from the initial noise of seed" in errors["best_of_n", '{"N":5}', reward]
        settings = next(each[1] for each in errors if each[0] == "random")
        assert "candidate 0: another noise at step 1)" in errors["random", settings, reward]
        assert "the table has 4 trajectories a problem" in errors["random", settings, reward]
    assert [status["failed"] for status in status_of(tmp_path / "run")] == [8]


def test_another_seed_was_not_recorded(file: Path, tmp_path: Path) -> None:
    run(on_table(file, tmp_path / "run", searches=["naive"], rewards=["brightness"], seed=1), QUIET)
    found = store.read(tmp_path / "run", ["trial", "error"])["error"].to_pylist()
    assert all("not recorded" in error for error in found)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rewards": ["class_judge"], "held_out": []}, "model table: holds no reward 'class_judge'"),
        ({"rewards": [{"name": "class_probability", "as": "brightness"}]}, "was recorded as brightness"),
        ({"metrics": ["vendi"]}, "metrics: need images"),
        ({"problems": {"conditions": ["dog"]}}, "model table: has no trajectory of 'dog'"),
        ({}, "this model's sampler has no number of steps"),
    ],
)
def test_what_the_table_does_not_have_is_refused_before_the_run(
    file: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingError, match=message):
        controls(on_table(file, tmp_path / "run", compute="more-steps", **changes))


def test_a_held_out_reward_cannot_be_searched_on(file: Path, tmp_path: Path) -> None:
    """Predictions of a held-out reward were not recorded, only final values."""
    searches = ["naive", POLICIES[2]]
    run(on_table(file, tmp_path / "run", searches=searches, rewards=["compressibility"], held_out=[]), QUIET)
    found = {row["search"]: row["error"] for row in store.read(tmp_path / "run").to_pylist()}
    assert found["naive"] is None
    assert "the image predicted after step 1, by a reward that was held out" in found["pruned"]


def test_the_file_is_documented_and_says_where_it_comes_from(file: Path) -> None:
    found = pq.read_schema(file)
    docs = {field.name: field.metadata[b"doc"].decode() for field in found}
    assert docs.items() >= {name: meaning for name, _, meaning in COLUMNS}.items()
    rewards = set(docs) - {name for name, _, _ in COLUMNS}
    assert rewards == {"reward_brightness", "reward_right", "reward_compressibility"}
    header = tables.read(file).header
    assert header.model["name"] == "cifar10"
    assert len(header.model["weights"]) == 64
    assert [name for name, reward in header.rewards.items() if reward.predicted] == ["brightness", "right"]
    assert header.rewards["right"].name == "class_probability"
    assert str(file.parent).encode() not in found.metadata[HEADER]


def test_of_a_run_the_same_table_is_made_of_its_configuration(file: Path, folders: tuple[Path, Path]) -> None:
    """The run beside the table is complete: nothing is computed again, and the file is the same to the byte."""
    before = file.read_bytes()
    command = ["tabulate", folders[0], "--candidates", 4, "--output", file]
    foreign = bench(*command)
    assert foreign.code == 2
    assert "add --trust" in foreign.err
    done = bench(*command, "--trust")
    assert (done.code, file.read_bytes() == before) == (0, True)
    assert "8 trajectories" in done.words
    with pytest.raises(SettingError, match="is a run, whose settings are fixed"):
        tabulate(str(folders[0]), 4, file, ["seed=3"], True, QUIET)


def test_an_unfinished_recording_makes_no_table(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = next((file.parent / "recording" / "trials").iterdir())
    kept = part.read_bytes()
    monkeypatch.setattr("bench.run.tabulate.run", lambda config, console: Finished(Study(config), None))
    try:
        pq.write_table(pq.read_table(part).slice(2), part)
        with pytest.raises(DataError, match="2 trials are not there yet; run the same command again"):
            tabulate(str(file.parents[1] / "study.yaml"), 4, file, [], False, QUIET)
    finally:
        part.write_bytes(kept)


def test_failed_trajectories_are_left_out(file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """If a reward failed on one trajectory of a problem, all other trajectories can be replayed."""
    study = Study(recording(load(str(file.parents[1] / "study.yaml")), 4, file.parent / "recording"))
    [part] = (file.parent / "recording" / "trials").iterdir()
    kept, trials = part.read_bytes(), pq.read_table(part)
    try:
        errors = pa.array(["broken", *[None] * (trials.num_rows - 1)], pa.string())
        pq.write_table(trials.set_column(trials.schema.get_field_index("error"), "error", errors), part)
        made = write(study, tmp_path / "table.parquet")
    finally:
        part.write_bytes(kept)
    assert (made.trajectories, made.failed) == (7, 1)
    assert tables.read(made.file).there.sum() == 7
