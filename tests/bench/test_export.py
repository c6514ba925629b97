"""An exported run has the same rows in one part, from which every image can still be made again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from stored_runs import picture, stored
from synthetic_trials import trial
from tiny_study import SHIPPED, TINY

from bench.report import npz
from bench.report.export import export
from bench.run.replay import replay
from bench.run.start import run
from bench.store import reader as store
from bench.store.files import hidden
from bench.store.images import decoded
from bench.store.storage import place
from bench.study.config import RunConfig
from tts.errors import DataError, SettingError
from tts.settings import parse


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run of several parts, whose manifest names no file."""
    values = {**TINY, "model": SHIPPED, "searches": ["naive", {"name": "random", "N": 2}], "flush_seconds": 0.0}
    config = parse(RunConfig, {**values, "output": str(tmp_path_factory.mktemp("export") / "run")}, "here")
    run(config, Console(quiet=True))
    return config.output


def test_export_keeps_every_row(finished: Path, tmp_path: Path) -> None:
    assert export(finished, tmp_path / "out", images=True) == store.read(finished).num_rows == 2 * 2 * 3
    assert len(list((tmp_path / "out" / "trials").iterdir())) == 1
    rows, copied = (store.read(folder).sort_by("trial") for folder in (finished, tmp_path / "out"))
    assert copied.equals(rows)
    assert copied.schema.equals(rows.schema, check_metadata=True)


def test_an_image_that_was_left_out_can_be_made_again(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    export(finished, out, images=False)
    assert {path.name for path in out.iterdir()} == {
        "manifest.json", "trials", "curves.parquet", "curves.png", "images.png"
    }  # fmt: skip
    assert store.read(out)["image"].null_count == 12
    row = store.read(finished).to_pylist()[-1]
    monkeypatch.setattr("bench.workers.pool.WAIT_SECONDS", 0.001)  # passes take longer than a wait
    assert replay(out, row["trial"]).image == row["image"]


def test_export_leaves_another_run_alone(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="holds a run already"):
        export(finished, finished, images=True)
    assert store.read(finished).num_rows == 12


def test_images_as_guided_diffusion_s_evaluator_takes_them(finished: Path, tmp_path: Path) -> None:
    found = npz.export_npz(finished, tmp_path / "out")
    rows = {row["trial"]: row for row in store.read(finished).to_pylist()}
    assert sum(found.values()) == len(rows) == 12
    for path, count in found.items():
        with np.load(path, allow_pickle=False) as file:
            assert file.files == ["arr_0"]
            images = file["arr_0"]
        assert (images.shape, images.dtype) == ((count, 32, 32, 3), np.uint8)
        mine = sorted(trial for trial, row in rows.items() if path.stem.startswith(f"{row['reward']}-{row['search']}"))
        np.testing.assert_array_equal(images, [decoded(rows[trial]["image"]) for trial in mine])
    with pytest.raises(SettingError, match="is there already; choose another folder"):
        npz.export_npz(finished, tmp_path / "out")
    export(finished, tmp_path / "bare", images=False)
    with pytest.raises(DataError, match=r"was not kept; run it with images: true"):
        npz.export_npz(tmp_path / "bare", tmp_path / "more")
    assert list((tmp_path / "more").iterdir()) == []


def of_settings(folder: Path, *settings: dict[str, Any]) -> Path:
    """A run of a trial for each of several settings of one search."""
    rows = [trial(search="mine", settings=each, image=picture(k), noises=None) for k, each in enumerate(settings)]
    return stored(folder, [{**row, "trial": row["trial"][:32]} for row in rows])


def test_an_image_is_read_once_whatever_point_it_is_of(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, table = 0, store.table

    def counted(source: Path, columns: list[str], *given: Any, **of: Any) -> Any:
        nonlocal read
        found = table(source, columns, *given, **of)
        read += found.num_rows if found is not None and "image" in columns else 0
        return found

    monkeypatch.setattr(store, "table", counted)
    found = npz.export_npz(finished, tmp_path / "out")
    assert (len(found) > 1, len(store.parts(place(finished))) > 1, read) == (True, True, 12)


DIES = """
import os, signal, sys
from pathlib import Path
from bench.store.files import hidden
with hidden(Path(sys.argv[1]), ".export-") as made:
    (made / "0.npy").touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_export_left_is_cleared_and_nothing_else(finished: Path, tmp_path: Path) -> None:
    foreign = tmp_path / ".export-mine"
    foreign.mkdir()
    subprocess.run([sys.executable, "-c", DIES, tmp_path], check=False, timeout=60)
    assert len([*tmp_path.glob(".export-*/0.npy")]) == 1
    with hidden(tmp_path, ".export-") as living:
        made = npz.export_npz(finished, tmp_path)
        assert {*tmp_path.iterdir()} == {foreign, living, *made}
    assert {*tmp_path.iterdir()} == {foreign, *made}


def test_an_image_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    row = trial(image=picture(0), noises=None)
    run = stored(tmp_path / "run", [{**row, "trial": row["trial"][:32]}], image_files=True)
    [image] = (run / "images").iterdir()
    image.unlink()
    image.mkdir()
    with pytest.raises(DataError, match=rf"run: images/{image.name} cannot be read \("):
        npz.export_npz(run, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_points_that_differ_by_a_sign_have_a_file_each(tmp_path: Path) -> None:
    run = of_settings(tmp_path / "run", {"x": 1}, {"x": -1}, {"x": 1e-06}, {"x": 1e16})
    found = npz.export_npz(run, tmp_path / "out")
    assert sorted(path.stem.partition("mine-")[2] for path in found) == ["x--1", "x-1", "x-1e+16", "x-1e-06"]
    assert list(found.values()) == [1] * 4


def test_points_of_one_name_are_refused(tmp_path: Path) -> None:
    run = of_settings(tmp_path / "run", {"x": "a/b"}, {"x": "a b"})
    with pytest.raises(DataError, match=r"run: two points of its curves would have one file, \w+-mine-x-a-b\.npz$"):
        npz.export_npz(run, tmp_path / "out")
    assert not list(tmp_path.glob("out/*"))
