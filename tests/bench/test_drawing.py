"""The batch of ``tts-bench generate``: the program's own choice holds on any CPU, a user's is kept or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from command_line import bench, refused, size

import tts.engine.score_checks
from bench.run.drawing import sizes_from
from tts.models.base import Model

SMALL = ["--search", "random", "--set", "N=4", "--set", "model.sampler={steps: 3, S_churn: 40}", "--threads", 1]
"""Five rows: four candidates and the naive trial's."""


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Pretend that rows depend on their neighbours at odd batches; returns the batches that were tried, in order."""
    sizes: list[int] = []

    def independent(model: Model, batch: int, *_: Any) -> bool:
        sizes.append(batch)
        return batch == 1 or batch % 2 == 0

    monkeypatch.setattr(tts.engine.batching, "rows_are_independent", independent)
    return sizes


def test_a_batch_that_does_not_hold_is_padded_to_one_that_does(looked_at: list[int], tmp_path: Path) -> None:
    result = bench("generate", *SMALL, "--output", tmp_path / "it.png")
    assert (result.code, result.err) == (0, "")
    assert looked_at == [5, 8]
    assert size(tmp_path / "it.png") == (32, 32)


@pytest.mark.parametrize("named", [["--batch", 5], ["--set", "engines.batch=5"]])
def test_a_batch_that_the_user_named_is_refused(named: list[object], looked_at: list[int], tmp_path: Path) -> None:
    refused("engines.batch = 5: ", "generate", *SMALL, *named, "--output", tmp_path / "it.png", code=1)
    assert looked_at == [5]


def test_a_reward_that_looks_at_neighbours_gets_a_batch_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    looked_at: list[int] = []

    def first(model: Model, rewards: Any, batch: int, *_: Any) -> str | None:
        looked_at.append(batch)
        return "reward brightness" if batch > 1 else None

    monkeypatch.setattr(tts.engine.score_checks, "first_dependent_score", first)
    result = bench("generate", *SMALL, "--output", tmp_path / "it.png")
    assert result.code == 0, result.err
    assert looked_at == [5, 8, 16, 1]


@pytest.mark.parametrize("rows", range(2, 70))
def test_sizes_to_try_begin_with_the_least_padding(rows: int) -> None:
    sizes = sizes_from(rows)
    assert sizes[0] == rows
    assert sizes[-1] == 1
    assert all(size >= rows for size in sizes[:-1])
    assert any(size & (size - 1) == 0 for size in sizes[:-1])
    assert len(set(sizes)) == len(sizes)
