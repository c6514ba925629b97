"""Rewards made of rewards, and rewards that are a user's own."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tts.errors import DataError, EngineError, SettingError
from tts.plan import Condition
from tts.registry import MODELS, REWARDS, SEARCHES
from tts.rewards.base import Score
from tts.rewards.brightness import Brightness
from tts.rewards.compressibility import Compressibility
from tts.rewards.ensembles import Combined, _rank
from tts.search.best_of_n import BestOfN


def images(count: int, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, 16, 16), dtype=torch.uint8, generator=draw)


def make(values: Any) -> Any:
    return REWARDS.make(values)[1]


def test_weighted_is_the_weighted_sum() -> None:
    pictures, packed = images(4), {"name": "compressibility", "max_bytes": 900}
    reward = make(
        {"name": "weighted", "of": [{"reward": "brightness", "weight": 2}, {"reward": packed, "weight": -0.5}]}
    )
    light = Brightness().load().score(pictures, [0] * 4)
    small = Compressibility(max_bytes=900).load().score(pictures, [0] * 4)
    expected = [2 * a - 0.5 * b for a, b in zip(light, small, strict=True)]  # type: ignore[operator]
    assert reward.load().score(pictures, [0] * 4) == pytest.approx(expected)


def test_an_ensemble_is_scored_beside_the_device_only_if_all_its_members_are() -> None:
    assert make({"name": "weighted", "of": [{"reward": "compressibility"}]}).load().host
    assert not make({"name": "weighted", "of": [{"reward": "compressibility"}, {"reward": "brightness"}]}).load().host


class Choosy:
    """Cannot score the second image."""

    host = True

    def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[Score]:
        return [None if k == 1 else 1.0 for k in range(len(images))]


def test_what_one_member_cannot_score_has_no_value() -> None:
    both = Combined([Choosy(), Choosy()], [lambda value: value, lambda value: 2 * value])
    assert both.score(images(3), [0] * 3) == [3.0, None, 3.0]


def run(folder: Path, **columns: list[Any]) -> Path:
    """A run's folder with these columns."""
    (folder / "trials").mkdir(parents=True)
    pq.write_table(pa.table(columns), folder / "trials" / "part-0.parquet")
    return folder


def test_rank_average_ranks_among_the_reference_runs_plain_images(tmp_path: Path) -> None:
    folder = run(
        tmp_path / "run",
        search=["naive", "naive", "naive", "beam"],
        score_brightness=[0.2, 0.4, 0.6, 99.0],
        score_compressibility=[0.0, None, 1.0, 99.0],
    )
    reward = make({"name": "rank_average", "of": ["brightness", "compressibility"], "reference": str(folder)})
    reward.check()
    pictures = images(3)
    light = Brightness().load().score(pictures, [0] * 3)
    small = Compressibility().load().score(pictures, [0] * 3)
    expected = [((a - 0.2) / 0.4 + b) / 2 for a, b in zip(light, small, strict=True)]  # type: ignore[operator]
    assert reward.load().score(pictures, [0] * 3) == pytest.approx(expected)
    moved = run(
        tmp_path / "moved",
        search=["naive"] * 3,
        score_brightness=[0.6, 0.2, 0.4],
        score_compressibility=[0.0, 1.0, None],
    )
    other = {"name": "rank_average", "of": ["brightness", "compressibility"], "reference": str(moved)}
    assert make(other).identity() == reward.identity()


@given(st.lists(st.integers(-20, 20), min_size=2, max_size=30).filter(lambda v: len(set(v)) > 1), st.floats(-60, 60))
def test_a_rank_grows_with_its_value_also_outside_the_sample(values: list[int], at: float) -> None:
    sample = np.sort(np.asarray(values, np.float64))
    rank = _rank(sample)
    assert rank(at + 1) > rank(at)
    for value in set(values):
        below, equal = sum(v < value for v in values), values.count(value)
        assert rank(value) == pytest.approx((below + (equal - 1) / 2) / (len(values) - 1))


@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        (
            {"search": ["naive"], "score_clip": [1.0]},
            SettingError,
            "has not scored brightness; run it with this reward",
        ),
        ({"search": ["naive"] * 2, "score_brightness": [1.0] * 2}, SettingError, "fewer than two different values"),
        ({"search": ["naive"] * 2, "score_brightness": [1.0, math.inf]}, SettingError, "fewer than two different"),
        ({"search": ["naive"], "score_brightness": ["x"]}, DataError, "is not a run"),
        ({"score_brightness": [1.0, 2.0]}, DataError, "is not a run"),
        (None, DataError, "is not a run"),
    ],
)
def test_a_reference_that_is_of_no_use_is_refused(
    columns: dict[str, list[Any]] | None, error: type[Exception], message: str, tmp_path: Path
) -> None:
    folder = tmp_path / "run" if columns is None else run(tmp_path / "run", **columns)
    with pytest.raises(error, match=message):
        make({"name": "rank_average", "of": ["brightness"], "reference": str(folder)}).check()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "weighted", "of": []}, "of"),
        ({"name": "weighted", "of": [{"reward": "brightness", "wait": 1}]}, "wait"),
        ({"name": "weighted"}, "'of' is missing"),
    ],
)
def test_wrong_settings_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        make(values)


def test_unknown_members_are_refused() -> None:
    with pytest.raises(SettingError, match="did you mean 'brightness'"):
        make({"name": "weighted", "of": [{"reward": "brightnes"}]}).check()


OWN = '''
from tts.models.cifar10 import Cifar10
from tts.rewards.brightness import Brightness
from tts.registry import factory
from tts.search.best_of_n import BestOfN

def redness(images, conditions):
    return images[:, 0].float().mean(dim=(1, 2)) / 255

def words(images, conditions):
    return [len(text) for text in conditions]

def short(images, conditions):
    return [1.0]

@factory
def small(steps=4):
    return Cifar10(sampler={"steps": steps})

@factory
def nothing():
    return 3

class Mine(Brightness):
    """A reward class."""
    factor: float = 1.0

class Search(BestOfN):
    """A search class."""

number = 3
'''


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module of the user's own in the working folder."""
    (tmp_path / "own_module.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "own_module", raising=False)
    return tmp_path / "own_module.py"


def test_a_function_is_a_reward(own: Path) -> None:
    name, reward = REWARDS.make("own_module:redness")
    pictures = images(3)
    expected = pictures[:, 0].float().mean(dim=(1, 2)) / 255
    assert name == "redness"
    assert reward.load().score(pictures, [0] * 3) == pytest.approx(expected.tolist())
    before = reward.identity()
    own.write_text(OWN + "\n# changed\n")
    assert REWARDS.make("own_module:redness")[1].identity() != before


def test_a_function_may_read_captions(own: Path) -> None:
    reward = make({"name": "own_module:words", "captions": True}).load("cpu", lambda condition: "x" * int(condition))
    assert reward.score(images(2), [3, 5]) == [3.0, 5.0]


def test_a_function_that_miscounts_is_refused(own: Path) -> None:
    with pytest.raises(EngineError, match="it returned 1 values for 2 images"):
        make("own_module:short").load().score(images(2), [0, 0])


def test_classes_and_factories_are_models_rewards_and_searches(own: Path) -> None:
    assert make({"name": "own_module:Mine", "factor": 2}).factor == 2
    assert MODELS.make({"name": "own_module:small", "steps": 6})[1].plan().steps == 6
    name, search = SEARCHES.make({"name": "own_module:Search", "N": 3})
    assert (name, search.N, isinstance(search, BestOfN)) == ("Search", 3, True)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("registry", "given_name", "message"),
    [
        (REWARDS, "own_module:none", "cannot be imported"),
        (REWARDS, "no_module:none", "cannot be imported"),
        (REWARDS, "own_module:number", "neither a class nor a function"),
        (MODELS, "own_module:nothing", "makes a int, which is no settings object"),
        (MODELS, "own_module:redness", "nor a function marked with @tts.registry.factory"),
        (MODELS, {"name": "own_module:small", "stepz": 3}, "stepz"),
        (REWARDS, {"name": "own_module:Mine", "fctor": 3}, "did you mean 'factor'"),
    ],
)
def test_what_cannot_be_used_is_named(registry: Any, given_name: Any, message: str, own: Path) -> None:
    with pytest.raises(SettingError, match=message):
        registry.make(given_name)
