"""Traces and features of a foreign results folder: each attack ends in one line, and nothing outside is read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import bench
from fuzz.folders import read_files, unread
from report_runs import small_run
from stored_runs import rows, stored, with_trace

from bench.statistics.trace_analysis import COLUMNS
from bench.store import features, part_checks, trace
from bench.store import reader as store
from bench.store.schema import EVALUATION_COLUMNS
from tts.errors import DataError, TTSError
from tts.metrics.frechet_judge import FrechetJudge
from tts.training.frechet import Moments

Attack = Callable[[pa.Table], pa.Table]
EXTRACTOR = "mine 1234"
NAMES = {field.name: field.type for field in EVALUATION_COLUMNS}


def put(name: str, value: Any, kind: pa.DataType | None = None) -> Attack:
    """Set a column to one value in every row, of its own type or another."""

    def attack(table: pa.Table) -> pa.Table:
        values = pa.array([value] * len(table), kind or table.schema.field(name).type)
        return table.set_column(table.column_names.index(name), name, values)

    return attack


def without(name: str) -> Attack:
    """Remove a column."""
    return lambda table: table.drop_columns([name])


def twice(name: str) -> Attack:
    """Append a column once more."""
    return lambda table: table.append_column(name, table[name])


TRACES: dict[str, Attack] = {
    **{f"{name} twice": twice(name) for name in ("trial", "reward", "kind")},
    **{f"no {name}": without(name) for name in COLUMNS},
    **{f"null in {name}": put(name, None) for name in ("trial", "round", "first", "kind", "chosen", "nfe_so_far")},
    "trials that are numbers": put("trial", 3, pa.int64()),
    "trials that are nested": put("trial", ["x"], pa.list_(pa.string())),
    "a reward that is a text": put("reward", "__import__('os')", pa.string()),
    "a reward that is a mapping": put("reward", {"x": 1}, pa.struct([("x", pa.int64())])),
    "a best that is a list": put("best", [1.0], pa.list_(pa.float64())),
    "an infinite reward": put("reward", float("inf")),
    "a best that is no number": put("best", float("nan")),
    "steps below zero": put("first", -1),
    "a step out of sight": put("first", 2**31 - 1),
    "a step of 64 bits": put("first", 2**62, pa.int64()),
    "counts out of sight": put("nfe_so_far", 2**62),
    "counts below zero": put("nfe_so_far", -(2**62)),
    "counts with a sign too few": put("nfe_so_far", 2**64 - 1, pa.uint64()),
    "rounds that are texts": put("round", "0", pa.string()),
    "candidates that are times": put("candidate", 0, pa.timestamp("s")),
    "a kind of its own": put("kind", "<script>"),
    "a kind that is a path": put("kind", "../../outside"),
    "a kind with a control character": put("kind", "global\x1b[2J"),
    "choices that are texts": put("chosen", "yes", pa.string()),
}

VECTOR = pa.list_(pa.float32(), 4)

FEATURES: dict[str, Attack] = {
    **{f"no {name}": without(name) for name in ("trial", "extractor", "features")},
    **{f"{name} twice": twice(name) for name in ("trial", "extractor", "features")},
    "trials that are numbers": put("trial", 3, pa.int64()),
    "an extractor that is a number": put("extractor", 3, pa.int64()),
    "features that are a text": put("features", "__import__('os')", pa.string()),
    "features that are bytes": put("features", b"\x80\x04", pa.binary()),
    "one number": put("features", 1.0, pa.float32()),
    "lists of any length": put("features", [1.0] * 4, pa.list_(pa.float32())),
    "lists of texts": put("features", ["x"] * 4, pa.list_(pa.string(), 4)),
    "nested lists": put("features", [[1.0]] * 4, pa.list_(pa.list_(pa.float32()), 4)),
    "a mapping": put("features", {"x": 1.0}, pa.struct([("x", pa.float32())])),
    "no numbers": put("features", [], pa.list_(pa.float32(), 0)),
    "too many numbers": put("features", None, pa.list_(pa.float32(), part_checks.LARGEST_FEATURE + 1)),
    "infinite numbers": put("features", [float("inf")] * 4),
    "numbers that are none": put("features", [float("nan")] * 4),
    "holes": put("features", [None, 1.0, 1.0, 1.0], VECTOR),
}


def featured(run: Path, size: int = 4) -> Path:
    """A run with features of its trials."""
    (run / "features").mkdir(exist_ok=True)
    for part in store.parts(store.place(run)):
        trials = pq.read_table(run / "trials" / part, columns=["trial"])["trial"]
        values = pa.FixedSizeListArray.from_arrays(pa.array(np.ones(size * len(trials), np.float32)), size)
        table = pa.table({"trial": trials, "extractor": pa.array([EXTRACTOR] * len(trials)), "features": values})
        pq.write_table(table, run / "features" / features.part_of(part, EXTRACTOR))
    return run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with valid traces and features."""
    return featured(with_trace(stored(tmp_path_factory.mktemp("made") / "run", rows(2))))


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "run"))


def attacked(run: Path, folder: str, attack: Attack) -> None:
    for part in (run / folder).iterdir():
        pq.write_table(attack(pq.read_table(part)), part)


def test_honest_parts_are_read(run: Path) -> None:
    count = len(store.read(run, ["trial"]))
    assert len(trace.read(run, COLUMNS)) == len(trace.read(run)) == count
    assert sum(len(vectors) for _, vectors in features.read(run, EXTRACTOR)) == count


@pytest.mark.parametrize("attack", TRACES.values(), ids=TRACES.keys())
@pytest.mark.parametrize("columns", [COLUMNS, None], ids=["some columns", "all columns"])
def test_a_trace_is_checked(columns: list[str] | None, attack: Attack, run: Path) -> None:
    attacked(run, "evaluations", attack)
    with pytest.raises(DataError) as caught:
        trace.read(run, columns)
    assert str(caught.value).startswith(f"{run}: evaluations/part-")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("attack", FEATURES.values(), ids=FEATURES.keys())
def test_features_are_checked(attack: Attack, run: Path) -> None:
    attacked(run, "features", attack)
    with pytest.raises(DataError) as caught:
        list(features.read(run, EXTRACTOR))
    assert str(caught.value).startswith(f"{run}: features/part-")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("attack", [twice("noise"), without("noise")], ids=["noise twice", "no noise"])
def test_noises_are_there_once_where_they_are_read(attack: Attack, run: Path) -> None:
    attacked(run, "evaluations", attack)
    assert len(trace.read(run, COLUMNS)) == len(store.read(run))
    with pytest.raises(DataError, match=r"evaluations/part-\S+: has (no|several) columns? noise$"):
        trace.read(run)


def test_narrow_types_of_the_same_kind_are_read(run: Path) -> None:
    attacked(run, "evaluations", put("nfe_so_far", 7, pa.int16()))
    attacked(run, "evaluations", put("kind", "global", pa.large_string()))
    attacked(run, "features", put("features", [1.0] * 4, pa.list_(pa.float64(), 4)))
    found = trace.read(run, COLUMNS)
    assert set(found["nfe_so_far"]) == {7}
    assert {vectors.dtype for _, vectors in features.read(run, EXTRACTOR)} == {np.dtype(np.float32)}


@pytest.mark.parametrize("name", ["trial", "extractor"])
def test_features_of_nobody_are_left_out(name: str, run: Path) -> None:
    attacked(run, "features", put(name, None))
    assert list(features.read(run, EXTRACTOR)) == []


def test_features_of_several_sizes_are_refused(run: Path) -> None:
    [part] = (run / "trials").iterdir()
    table = pq.read_table(part)
    other = table.set_column(0, "trial", pa.array([f"{k:032x}" for k in range(len(table))]))
    pq.write_table(other, run / "trials" / "part-z-0.parquet")
    featured(run, size=5)
    pq.write_table(put("features", [1.0] * 4, VECTOR)(first_features(run)), sorted((run / "features").iterdir())[0])
    with pytest.raises(DataError, match="an extractor's features have 4 and 5 numbers"):
        list(features.read(run, EXTRACTOR))


@pytest.mark.parametrize("folder", ["trials", "evaluations", "features"])
@pytest.mark.parametrize(
    ("limit", "bomb", "words"),
    [
        ("LARGEST_PART", pa.table({"x": pa.nulls(1001)}), "holds 1001 rows; a part has at most 1000"),
        ("LARGEST_COLUMN", pa.table({"x": [[0] * 1001]}), "holds 1001 values a column; a part has at most 1000"),
    ],
    ids=["rows", "values"],
)
def test_a_part_that_grows_without_end_is_not_read(
    limit: str, bomb: pa.Table, words: str, folder: str, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repeated value takes almost no bytes, so a small file may be larger than memory once it is read."""
    monkeypatch.setattr(part_checks, limit, 1000)
    [part] = (run / folder).iterdir()
    pq.write_table(bomb, part)
    with pytest.raises(DataError) as caught:
        store.read(run) if folder == "trials" else read_all(run)
    assert str(caught.value) == f"{run}: {folder}/{part.name}: {words}"


def first_features(run: Path) -> pa.Table:
    return pq.read_table(sorted((run / "features").iterdir())[0])


@pytest.mark.parametrize("folder", ["evaluations", "features"])
@pytest.mark.parametrize("text", [b"", b"PAR1", b"PAR1" + b"\xff" * 64 + b"PAR1", b"\x80\x04cos\nsystem\n."])
def test_what_is_no_parquet_is_said(folder: str, text: bytes, run: Path) -> None:
    for part in (run / folder).iterdir():
        part.write_bytes(text)
    with pytest.raises(DataError, match=r"^[^\n]*parquet is damaged[^\n]*$"):
        read_all(run)


@pytest.mark.parametrize("folder", ["evaluations", "features"])
def test_parts_elsewhere_are_not_opened(folder: str, run: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    for part in list((run / folder).iterdir()):
        part.symlink_to(shutil.move(part, outside / part.name))
    unread(outside)
    with pytest.raises(DataError, match="leads out of the run's folder"):
        read_all(run)
    assert read_files(outside) == []


@pytest.mark.parametrize("folder", ["evaluations", "features"])
@pytest.mark.parametrize("kind", ["file", "link"])
def test_folders_that_are_none(folder: str, kind: str, run: Path, tmp_path: Path) -> None:
    shutil.move(run / folder, tmp_path / "elsewhere")
    if kind == "file":
        (run / folder).write_bytes(b"x")
    else:
        (run / folder).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TTSError) as caught:
        read_all(run)
    assert "\n" not in str(caught.value)


def read_all(run: Path) -> None:
    trace.read(run, COLUMNS)
    list(features.read(run, EXTRACTOR))


@pytest.mark.parametrize("values", [np.ones((5, 3)), np.full((5, 3), 3e38)])
def test_features_of_another_size_than_the_metrics_are_one_line(
    values: np.ndarray, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench.statistics.set_metrics import set_metrics

    trials = store.read(run).to_pandas()
    metric = FrechetJudge()
    monkeypatch.setattr(FrechetJudge, "extractor", EXTRACTOR)
    monkeypatch.setattr(FrechetJudge, "reference", lambda _: Moments(9, np.zeros(192), np.eye(192)))
    attacked(run, "features", put("features", values[0].tolist(), pa.list_(pa.float32(), 3)))
    with (
        np.errstate(all="ignore"),
        pytest.raises(DataError, match=r"metric mine: cannot be told of 3 numbers an image"),
    ):
        set_metrics(run, trials, {"mine": metric})


@pytest.mark.parametrize("attack", ["a kind that is a path", "counts out of sight", "no reward"])
def test_a_report_says_so_in_one_line(attack: str, tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", 20)
    attacked(run, "evaluations", TRACES[attack])
    result = bench("report", run, "--no-features")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "evaluations/part-" in result.err
    assert not (run / "report").exists()


def test_a_foul_metric_is_a_note_and_no_table(tmp_path: Path) -> None:
    """The manifest names a metric whose features are malformed."""
    run = small_run(tmp_path / "run", 20)
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["config"]["metrics"] = ["frechet_judge"]
    (run / "manifest.json").write_text(json.dumps(manifest))
    (run / "features").mkdir()
    for part in store.parts(store.place(run)):
        (run / "features" / features.part_of(part, FrechetJudge().extractor)).write_bytes(b"PAR1")
    result = bench("curves", run)
    assert result.code == 0
    assert "no metrics: " in result.words
    assert "parquet is damaged" in result.words


def test_a_single_noise_level_names_no_step(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", 20)
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps({**manifest, "levels": [1.0]}))
    assert bench("report", run, "--no-features").code == 0
    assert "steps done before" in (run / "report.html").read_text()
