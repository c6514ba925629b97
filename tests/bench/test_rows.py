"""Rows of schema 4: one type for all, and digests with which runs without images are compared and replayed."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from command_line import bench
from PIL import Image
from stored_runs import picture, rows, stored
from tiny_study import SHIPPED

from bench.report.compare import Verdict, compare
from bench.report.outcomes import outcomes
from bench.run.replay import replay
from bench.store import reader as store
from bench.store.digests import recipe_hash
from bench.store.images import image_sha256
from bench.store.row import NAMES, TrialRow
from bench.store.schema import COLUMNS
from bench.study.config import RunConfig

REFERENCE = Path(__file__).parents[2] / "results" / "cifar10-reference"
RECIPE = [{"seed": 7, "moves": [{"seed": 8, "radius": 0.15}]}, None]


def test_a_row_has_the_columns_of_the_schema() -> None:
    assert sorted(NAMES) == sorted(column.name for column in COLUMNS)
    record = rows(1)[0]
    again = TrialRow.of_record(record).record()
    assert {name: again[name] for name in record} == record
    assert {name for name, value in again.items() if value is None} >= {"error", "image_sha256"}


def test_the_hash_of_a_recipe_is_pinned_and_a_later_field_that_is_null_changes_nothing() -> None:
    assert recipe_hash(RECIPE) == "c1f5f564bbb746c99da3c187c00a9e24"
    assert recipe_hash([{**RECIPE[0], "kind": None}, None]) == recipe_hash(RECIPE)  # type: ignore[dict-item]
    assert len({recipe_hash(each) for each in (RECIPE, RECIPE[::-1], RECIPE[:1], [None, None], [])}) == 5


def test_the_digest_of_an_image_is_that_of_its_pixels_whatever_the_file() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    files = []
    for level in (0, 9):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG", compress_level=level)
        files.append(buffer.getvalue())
    assert files[0] != files[1]
    assert {image_sha256(file) for file in files} == {hashlib.sha256(pixels.tobytes()).hexdigest()}
    assert image_sha256(None) is None
    assert image_sha256(b"no image") == hashlib.sha256(b"no image").hexdigest()


def with_digests(number: int, **changes: object) -> list[dict[str, object]]:
    """Made-up rows in today's form, without images."""
    found = []
    for k, row in enumerate(rows(2)):
        digests = {"image_sha256": image_sha256(row["image"]), "recipe_hash": recipe_hash(row["noises"])}
        found.append({**row, **digests, "image": None, **(changes if k == number else {})})
    return found


def test_runs_without_images_are_compared_by_two_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = stored(tmp_path / "a", with_digests(-1)), stored(tmp_path / "b", with_digests(-1))
    other = stored(tmp_path / "c", with_digests(3, image_sha256="0" * 64))
    old = stored(tmp_path / "old", rows(2))
    names: list[list[str]] = []
    read = store.batches
    monkeypatch.setattr(
        store, "batches", lambda output, wanted, of: (names.append(wanted), read(output, wanted, of))[1]
    )
    assert compare(a, b).verdict is Verdict.IDENTICAL
    assert not {"image", "noises"} & {name for wanted in names for name in wanted}
    found = compare(a, other)
    assert (found.different, [column.name for column in found.columns if column.different]) == (1, ["image"])
    assert compare(a, old).verdict is Verdict.IDENTICAL  # its digests are computed from images and recipes
    assert {"image", "noises"} <= set(names[-1])


def test_the_committed_run_of_version_3_compares_with_itself_and_has_digests() -> None:
    found = outcomes(REFERENCE)
    assert compare(REFERENCE, REFERENCE).verdict is Verdict.IDENTICAL
    assert found["noises"].notna().all()


@pytest.mark.slow
def test_a_run_without_images_is_replayed_and_verified(tiny: Callable[..., RunConfig], tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    searches = ["naive", {"name": "random", "N": 2}]
    model = {**SHIPPED, "sampler": {"steps": 2, "S_max": 100}}
    problems = {"conditions": [0], "seeds": 1}
    given = tiny(model=model, images=False, searches=searches, rewards=["brightness"], problems=problems)
    config.write_text(given.model_dump_json())
    assert bench("run", str(config)).code == 0
    for row in store.read(given.output).to_pylist():
        assert row["image"] is None
        assert row["recipe_hash"] == recipe_hash(row["noises"])
        found = replay(given.output, row["trial"])
        assert found.identical
        assert row["image_sha256"] == image_sha256(found.image)
    found.row["image_sha256"] = image_sha256(picture(1))
    assert found.identical is False
