"""The page on results: its tables equal the schemas, and its examples run."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from stored_runs import rows, stored, with_trace

from bench.report.schema_docs import CURVES, MANIFEST, PAGE, REWARD, TABLES, UNITS, type_text, updated
from bench.statistics import curves
from bench.statistics.comparisons import paired_difference
from bench.store import manifest
from bench.store import reader as store
from bench.store import schema as record
from bench.study.config import RunConfig
from bench.study.study import Study
from tts.noise import Noise, NoiseBank

TEXT = PAGE.read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def lines(table: str) -> list[list[str]]:
    """A table's cells without its header."""
    return [line.strip("|").split(" | ") for line in TABLES[table]().splitlines()[2:]]


def names(table: str) -> list[str]:
    """The table's first column."""
    return [cells[0].strip(" `") for cells in lines(table)]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run in the folder where the examples look for it."""
    monkeypatch.chdir(tmp_path)
    return with_trace(stored(Path("results/quickstart"), rows(problems=6)))


def test_the_tables_are_up_to_date() -> None:
    assert updated(TEXT) == TEXT, "run: make reference"
    for name, table in TABLES.items():
        assert f"<!-- fields: {name} -->\n\n{table()}\n\n<!-- end -->" in TEXT


def test_every_field_of_a_file_is_in_its_table_with_its_type_and_its_words() -> None:
    for table, schema in (("trials", record.schema([REWARD])), ("evaluations", record.TRACE)):
        assert names(table) == schema.names
        for field, cells in zip(schema, lines(table), strict=True):
            assert cells[1].strip("` ") == type_text(field.type)
            meaning, _, null = field.metadata[b"doc"].decode().partition("; null: ")
            assert meaning.replace("<", "&lt;") in cells[4]
            assert null in cells[3]


def test_units_and_versions_are_of_fields_that_there_are() -> None:
    known = {name for table in TABLES for name in names(table)}
    assert set(UNITS) <= known
    assert max(field.since for field in record.COLUMNS) == record.SCHEMA_VERSION
    assert f"\n| {record.SCHEMA_VERSION} | " in TEXT


def test_the_columns_of_the_curves_are_those_that_are_written(run: Path) -> None:
    trials = store.read(run, record.without_images(store.columns(run))).to_pandas()
    found = pq.read_schema(io.BytesIO(curves.parquet(curves.curves(trials))))
    kinds = [str(field.type).replace("large_string", "string") for field in found]
    assert list(zip(found.names, kinds, strict=True)) == [(field.name, type_text(field.type)) for field in CURVES]


def test_the_keys_of_the_manifest_are_those_that_are_written(tiny: Callable[..., RunConfig]) -> None:
    kinds: dict[str, tuple[type, ...]] = {
        "number": (int, float, type(None)),
        "text": (str,),
        "list": (list,),
        "object": (dict, type(None)),
    }
    found = manifest.build(Study(tiny()), ["cpu"])
    known = {name: kind for name, kind, _ in MANIFEST}
    assert list(found) == list(known)
    for name, value in found.items():
        assert isinstance(value, kinds[known[name]])


@pytest.mark.parametrize("example", EXAMPLES, ids=[f"line{TEXT[: TEXT.index(e)].count(chr(10)) + 1}" for e in EXAMPLES])
def test_every_example_runs(example: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(example, "results.md", "exec"), {})  # noqa: S102  (the page's own code)
    assert "print" not in example or capsys.readouterr().out.strip()


def after(example: str) -> dict[str, Any]:
    """The variables that are left by the one example that contains this text."""
    [code] = [code for code in EXAMPLES if example in code]
    left: dict[str, Any] = {}
    exec(compile(code, "results.md", "exec"), left)  # noqa: S102  (the page's own code)
    return left


def test_the_examples_agree_with_the_library(run: Path) -> None:
    trials = store.read(run).to_pandas()
    points = after("groupby")["points"]["value"].mean()
    expected = trials.groupby(["reward", "search", "budget_value"], dropna=False)["value"].mean()
    pd.testing.assert_series_equal(points, expected)
    bright = trials[trials["reward"] == "brightness"]
    assert after("to_batches")["total"] == pytest.approx(bright["value"].sum())
    key = [bright[(bright["search"] == s) & (bright["budget_value"] == 4)].iloc[0] for s in ("random", "best_of_n")]
    a, b = [(str(row["search"]), str(row["settings"])) for row in key]
    difference = after("scipy")["difference"]
    assert difference.mean() == pytest.approx(paired_difference(trials, "brightness", a, b).mean)
    seed = store.read(run)["noises"][0][0]["seed"].as_py()
    noise = NoiseBank((3, 32, 32))(Noise(seed))
    assert (after("Philox")["noise"] == noise).all()
    assert (after("NoiseBank")["noises"][0] == noise).all()


def test_the_best_images_are_the_stored_ones(run: Path) -> None:
    after("best/{search}")
    trials = store.read(run).to_pandas()
    trials = trials[trials["reward"] == "class_probability"].sort_values(["value", "trial"], ascending=[False, True])
    best = trials.drop_duplicates("search").set_index("search")["image"]
    files = {path.name.rpartition("-")[0]: path.read_bytes() for path in Path("best").iterdir()}
    assert files == best.to_dict()
