"""Held-out rewards and rewards under other names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from bench.run.start import run
from bench.study.config import RunConfig
from bench.study.study import Study
from tts.errors import SettingError

Make = Callable[..., RunConfig]
SMALL: dict[str, Any] = {
    "searches": ["naive", {"name": "eps_greedy", "N": 2, "K": 1}],
    "problems": {"conditions": [0], "seeds": 1},
}


def test_held_out_rewards_score_final_images_and_are_never_searched_on(tiny: Make, tmp_path: Path) -> None:
    shared = {**SMALL, "rewards": ["brightness"]}
    run(tiny("plain", **shared), Console(quiet=True))
    run(tiny("judged", **shared, held_out=["compressibility", "class_probability"]), Console(quiet=True))
    plain, judged = (pd.read_parquet(tmp_path / name / "trials") for name in ("plain", "judged"))
    assert set(judged["reward"]) == {"brightness"}
    assert judged[["score_compressibility", "score_class_probability"]].notna().all(axis=None)
    by_search = [frame.set_index("search") for frame in (plain, judged)]
    for column in ("value", "nfe", "image"):  # held-out rewards do not affect the search
        assert by_search[0][column].to_dict() == by_search[1][column].to_dict()
    assert by_search[0]["reward_calls"].to_dict() == {
        name: calls - 2 for name, calls in by_search[1]["reward_calls"].to_dict().items()
    }


def test_what_is_held_out_is_part_of_the_run(tiny: Make) -> None:
    both = Study(tiny(**SMALL, rewards=["brightness", "compressibility"]))
    one = Study(tiny(**SMALL, rewards=["brightness"], held_out=["compressibility"]))
    other = Study(tiny(**SMALL, rewards=["compressibility"], held_out=["brightness"]))
    assert (both.size, one.size, other.size) == (4, 2, 2)
    assert len({both.digest(), one.digest(), other.digest()}) == 3
    keys = [{trial.key for trial in study.trials()} for study in (both, one)]
    assert keys[1] < keys[0]  # the rows are the same


def test_one_reward_twice_under_two_names(tiny: Make) -> None:
    rewards = ["compressibility", {"name": "compressibility", "as": "tight", "quality": 30}]
    study = Study(tiny(**SMALL, rewards=rewards))
    assert study.searched == ("compressibility", "tight")
    assert study.rewards["tight"].record()["quality"] == 30


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"rewards": ["brightness", "brightness"]},
            "brightness is named twice; give one of them another name with 'as'",
        ),
        ({"rewards": ["brightness"], "held_out": ["brightness"]}, "brightness is named twice"),
        ({"rewards": [{"name": "brightness", "as": "a b"}]}, "as = 'a b' is no name"),
        ({"rewards": [{"name": "brightness", "as": 3}]}, "as = 3 is no name"),
        ({"rewards": ["brightness"], "held_out": ["bright"]}, "did you mean 'brightness'"),
        ({"rewards": []}, "rewards"),
    ],
)
def test_wrong_names_are_refused(changes: dict[str, Any], message: str, tiny: Make) -> None:
    with pytest.raises(SettingError, match=message):
        Study(tiny(**SMALL, **changes))
