"""Searches over several rewards in a run: they may ask for searched rewards, and not for held-out ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import tiny_study
from rich.console import Console

from bench.run.start import run
from bench.store.reader import read
from bench.store.schema import TIMED
from bench.study.config import RunConfig
from bench.study.study import Study
from tts.search.best_of_n import BestOfN
from tts.search.naive import Naive

Make = Callable[..., RunConfig]

BOTH = ["brightness", "compressibility"]
PARETO = {"name": "pareto_search:ParetoPick", "N": 5}


def rows(config: RunConfig) -> dict[tuple[str, str, str], dict[str, Any]]:
    """A run's rows by search, reward and condition, without the columns that differ between two runs."""
    run(config, Console(quiet=True))
    found = read(config.output).to_pylist()
    return {
        (row["search"], row["reward"], row["label"]): {k: v for k, v in row.items() if k not in (*TIMED, "trial")}
        for row in found
    }


def small(tiny: Make, folder: str, rewards: list[str] = BOTH, **changes: Any) -> RunConfig:
    """Two problems; the searches ask for the same states at different times and with different rewards."""
    given = {
        "model": tiny_study.small(steps=2),
        "searches": ["naive", {"name": "best_of_n", "N": 5}, PARETO],
        "rewards": rewards,
        "problems": {"conditions": [0, 1], "seeds": 1},
        "output": folder,
    }
    engines = {"backend": "local", "batch": 4, "threads": 1, **changes.pop("engines", {})}
    return tiny(**{**given, **changes}, engines=engines)


@pytest.mark.slow
def test_rows_are_the_same_however_work_is_shared(tiny: Make, tmp_path: Any) -> None:
    ways = [{"share": True}, {"share": False}, {"search_on": "engine"}]
    one, *others = (rows(small(tiny, str(tmp_path / str(k)), engines=way)) for k, way in enumerate(ways))
    assert len(one) == 12
    assert all(row["error"] is None for row in one.values())
    assert all(other == one for other in others)
    for (search, reward, _), row in one.items():
        assert row["value"] == row[f"score_{reward}"]
        trajectories = 1 if search == "naive" else 5
        asked = trajectories * (2 if search == "ParetoPick" else 1)
        assert row["reward_calls"] == asked + 2  # the final image is scored by both rewards
        assert row["decodes"] == trajectories + 1


def test_what_is_held_out_is_not_among_a_problem_s_rewards(tiny: Make, tmp_path: Any) -> None:
    found = rows(small(tiny, str(tmp_path), rewards=["brightness"], held_out=["compressibility"], searches=[PARETO]))
    assert len(found) == 2
    for row in found.values():
        assert row["error"] is None
        assert row["reward_calls"] == 5 + 2
        assert row["score_compressibility"] is not None


def test_a_version_is_part_of_the_identity_unless_it_is_the_first(
    tiny: Make, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small(tiny, str(tmp_path), searches=["naive", "best_of_n", "rank_ensemble", PARETO])

    def keys() -> dict[str, set[str]]:
        study = Study(config)
        trials = list(study.trials())
        return {name: {t.key for t in trials if t.search == name} for name in {t.search for t in trials}}

    before = keys()
    assert "naive" not in Study(config).context.searches
    monkeypatch.setattr(BestOfN, "version", 2)
    after = keys()
    assert Naive.version == 1
    assert after["naive"] == before["naive"]
    assert after["ParetoPick"] == before["ParetoPick"]
    assert not after["best_of_n"] & before["best_of_n"]
    assert not after["rank_ensemble"] & before["rank_ensemble"]  # which plays best_of_n
    assert Study(config).context.searches["best_of_n"] == {"version": 2}
