"""A run handed on: the same rows in one part, from which every image can still be made again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from bench.report.export import export
from bench.run.replay import replay
from bench.run.start import run
from bench.store import reader as store
from bench.study.config import RunConfig
from tts.errors import SettingError


@pytest.fixture
def finished(tiny: Callable[..., RunConfig]) -> Path:
    """A small run of several parts."""
    config = tiny(searches=["naive", {"name": "random", "N": 2}], flush_seconds=0.0)
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
    monkeypatch.setattr("bench.workers.pool.WAIT_SECONDS", 0.001)  # a model whose passes take longer than a wait
    assert replay(out, row["trial"]).image == row["image"]


def test_export_leaves_another_run_alone(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="holds a run already"):
        export(finished, finished, images=True)
    assert store.read(finished).num_rows == 12
