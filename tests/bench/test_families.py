"""Every model, saved and loaded again by an engine of another process: the same rows as here, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from local_rows import rows_of
from standing_engine import StandingEngine
from tiny_models import TINY_MODELS

from bench.study.config import RunConfig
from bench.study.study import Study
from bench.workers.backends import make_pool
from tts.registry import MODELS

CLASSES = ("cifar10", "dit", "edm", "edm2", "sit")
PROMPTS = ["a cat", "a red cube beside a dog"]
REWARD: dict[str, Any] = {"name": "own_rewards:redness", "captions": True}


@pytest.mark.parametrize("name", TINY_MODELS)
def test_rows_on_ray_are_those_of_this_process(
    name: str, tmp_path: Path, ray_address: str, standing: StandingEngine
) -> None:
    model = TINY_MODELS[name]
    config = {
        "model": model.settings(tmp_path / "it"),
        "rewards": [REWARD],
        "searches": ["naive", {"name": "random", "N": 2}],
        "problems": {"conditions": [1, 3] if model.name in CLASSES else PROMPTS},
        "engines": {"backend": "local", "batch": model.batch},
        "output": "unused",
    }
    here = Study(RunConfig.model_validate(config))
    pool = make_pool(here)
    rows = rows_of(here, pool)
    assert len(rows) == 4
    assert all(row["value"] is not None and row["nfe"] > 0 for row in rows.values())
    assert len({row["image"] for row in rows.values()}) > 1
    there = Study(RunConfig.model_validate({**config, "engines": {"backend": "ray", "batch": model.batch}}))
    other = standing.pool(there, ray_address)
    assert rows_of(there, other, shuffle=1) == rows
    assert other.flops == pool.flops
    assert pool.flops is not None


def test_no_model_is_left_out() -> None:
    """But the table, which has no network."""
    assert MODELS.targets.keys() - {model.name for model in TINY_MODELS.values()} == {"table"}
