"""A results folder from anywhere: every command that reads it ends in a result or in a line that says why not."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from command_line import tree
from hypothesis import given
from report_runs import small_run

from fuzz import EXAMPLES
from fuzz.folders import chances, damage, link, read_files, unread
from fuzz.watched import examples, watched

pytestmark = pytest.mark.usefixtures("undrawn")

READING = [("status",), ("curves",), ("verify",), ("export",)]
SLOWER = [("report",), ("compare",), ("metrics",), ("replay",)]
"""These seconds a folder, so that only ``make fuzz`` plays them."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_run(tmp_path_factory.mktemp("made") / "run", 20)


@examples(12, weight=0.2)
@given(chances)
def test_damaged_folders(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chance: random.Random) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(exist_ok=True)
    monkeypatch.chdir(outside)  # where what a manifest names would be run
    (outside / "theirs").write_text("theirs")
    shutil.rmtree(tmp_path / "run", ignore_errors=True)
    run = Path(shutil.copytree(made, tmp_path / "run"))
    done = [damage(run, chance) for _ in range(chance.choice([1, 1, 2, 3]))]
    [command] = chance.choice(READING + SLOWER if EXAMPLES else READING)
    arguments: list[object] = [command, run]
    if command == "compare":
        arguments.append(made)
    if command == "replay":
        parts = sorted((made / "trials").glob("*.parquet"))
        trial = chance.choice([each for part in parts for each in pq.read_table(part)["trial"].to_pylist()])
        arguments += [trial, "--output", tmp_path / "image.png"]
    if command == "export":
        shutil.rmtree(tmp_path / "exported", ignore_errors=True)
        arguments.append(tmp_path / "exported")
    before = tree(outside)
    watched(*arguments)
    assert tree(outside) == before, done


@examples(12, weight=0.2)
@given(chances)
def test_links_are_not_followed_out_of_the_folder(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chance: random.Random
) -> None:
    outside = tmp_path / "outside"
    for folder in (outside, tmp_path / "run", tmp_path / "exported"):
        shutil.rmtree(folder, ignore_errors=True)
    outside.mkdir()
    monkeypatch.chdir(outside)
    run = Path(shutil.copytree(made, tmp_path / "run"))
    done = link(run, outside, chance)
    before = tree(outside)
    unread(outside)
    [command] = chance.choice(READING)
    watched(command, run, *([tmp_path / "exported"] if command == "export" else []))
    assert read_files(outside) == [], done
    assert tree(outside) == before, done
