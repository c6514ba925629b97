"""A search in a few lines of Python gives, bit for bit, what a run stores."""

from __future__ import annotations

import gc
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from command_line import bench
from PIL import Image
from tiny_study import SEARCHES, SMALL, WEIGHTS, save_weights
from toy_engine import toy_engine

import tts
from tts.errors import EngineError, SettingError, TTSError, UnknownNameError
from tts.models.cifar10 import Cifar10
from tts.plan import Plan
from tts.rewards.brightness import Brightness
from tts.search.base import Problem
from tts.search.best_of_n import BestOfN
from tts.testing.toy_model import CrowdedModel, ToyModel

STEPS = {"steps": 4}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def model() -> tts.LoadedModel:
    save_weights()
    return tts.load_model("cifar10", weights=WEIGHTS, sampler=STEPS)


@pytest.fixture(scope="module")
def engine(model: tts.LoadedModel) -> Iterator[tts.Engine]:
    rewards = {name: tts.load_reward(name, model) for name in ("brightness", "compressibility")}
    made = tts.Engine(model, rewards, batch=8)
    yield made
    made.close()


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory, model: tts.LoadedModel) -> list[dict[str, Any]]:
    """A run of every search."""
    folder = tmp_path_factory.mktemp("run")
    config = {
        "model": SMALL,
        "rewards": ["brightness"],
        "held_out": ["compressibility"],
        "searches": SEARCHES,
        "problems": {"conditions": ["cat"], "seeds": 1},
        "engines": {"backend": "local", "batch": 8, "threads": 1},
        "output": str(folder / "run"),
    }
    (folder / "run.yaml").write_text(repr(config))
    assert bench("run", folder / "run.yaml").code == 0
    stored: list[dict[str, Any]] = pq.read_table(folder / "run" / "trials").to_pylist()
    return stored


@pytest.mark.slow
def test_plays_what_a_run_stores(rows: list[dict[str, Any]], model: tts.LoadedModel, engine: tts.Engine) -> None:
    """Images, recipes, scores and costs of every search are equal bit for bit."""
    assert len(rows) == 9
    for row in rows:
        search = {"name": row["search"], **json.loads(row["settings"])}
        problem = model.problem("cat", reward=row["reward"], seed=row["problem_seed"])
        result = tts.play(search, problem, engine)
        assert result.png == row["image"]
        assert (result.reward, result.nfe) == (row["value"], row["nfe"])
        assert result.rewards == {name: row[f"score_{name}"] for name in engine.rewards}
    assert tts.replay(row["noises"], "cat", engine).png == row["image"]


def test_replays_its_own_recipe(model: tts.LoadedModel, engine: tts.Engine) -> None:
    result = tts.play("random", model.problem("dog", reward="brightness", seed=4), engine)
    again = tts.replay(result.recipe, "dog", engine)
    assert (again.png, again.rewards, again.condition) == (result.png, result.rewards, 5)
    assert again.nfe == model.plan.nfe() < result.nfe


def test_the_result_tells_what_was_tried(model: tts.LoadedModel, engine: tts.Engine) -> None:
    result = tts.play(BestOfN(N=5), model.problem(3, reward="brightness"), engine)
    assert [tried.round for tried in result.trace] == [0] * 5
    assert result.reward == max(tried.reward for tried in result.trace if tried.reward is not None)
    assert result.recipe == max(result.trace, key=lambda tried: tried.reward or 0).recipe
    assert sum(tried.nfe for tried in result.trace) == result.nfe == 5 * model.plan.nfe()
    assert result.image.size == (32, 32)
    assert np.array_equal(result.pixels, np.asarray(Image.open(io.BytesIO(result.png))))
    assert (result.pixels.shape, result.pixels.dtype) == ((32, 32, 3), np.uint8)


def test_an_engine_keeps_nothing_of_what_it_played(model: tts.LoadedModel, engine: tts.Engine) -> None:
    result = tts.play("beam", model.problem(3, reward="brightness"), engine)
    tts.replay(result.recipe, 3, engine)
    gc.collect()
    assert (engine.states, engine.busy) == ({}, False)


def test_a_models_own_settings_object_will_do() -> None:
    model = tts.load_model(Cifar10(sampler={"steps": 3}))
    assert (model.plan.steps, model.name) == (3, "Cifar10")
    assert tts.load_reward(Brightness(), model).name == "Brightness"


@pytest.mark.slow
def test_guidance_takes_two_forwards_a_prediction(tmp_path: Path) -> None:
    import tiny_pipelines

    folder = tiny_pipelines.save(tiny_pipelines.stable_diffusion(), tmp_path / "it")
    model = tts.load_model("stable-diffusion", id=str(folder), sampler={"steps": 3}, guidance=4)
    engine = tts.Engine(model, {"brightness": tts.load_reward("brightness", model)}, batch=2)
    result = tts.play(BestOfN(N=2), model.problem("a cat", reward="brightness"), engine)
    assert result.nfe == 2 * model.plan.nfe() == 2 * 3 * 2
    assert model.plan == model.settings.plan()
    assert tts.replay(result.recipe, "a cat", engine).png == result.png
    engine.close()


def test_models_without_settings_can_be_played_on() -> None:
    engine = toy_engine()
    problem = Problem(1, 2, engine.model.sampler.plan, "brightness")
    assert tts.play(BestOfN(N=3), problem, engine).nfe == 3 * problem.plan.nfe()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: tts.load_model("cifar"), UnknownNameError, "unknown model 'cifar'; did you mean 'cifar10'"),
        (lambda: tts.load_model("cifar10", step=3), SettingError, "unknown key 'step'"),
        (lambda: tts.load_model(Cifar10(), weights="x"), SettingError, "weights belong in the settings object"),
    ],
)
def test_mistakes_in_loading_are_named(make: Callable[[], object], error: type[TTSError], message: str) -> None:
    with pytest.raises(error, match=message) as found:
        make()
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"condition": "kat"}, SettingError, "unknown class 'kat'; did you mean 'cat'"),
        ({"reward": "brightnes"}, UnknownNameError, "reward 'brightnes' is not among the engine's; did you mean"),
        ({"plan": Plan((1, 1), (True, True))}, SettingError, r"another than the model's; make the problem by model\."),
    ],
)
def test_mistakes_in_a_problem_are_named(
    model: tts.LoadedModel, engine: tts.Engine, change: dict[str, Any], error: type[TTSError], message: str
) -> None:
    with pytest.raises(error, match=message):
        tts.play("naive", replace(model.problem(3, reward="brightness"), **change), engine)
    assert engine.states == {}


def test_other_mistakes_are_named(model: tts.LoadedModel, engine: tts.Engine) -> None:
    problem = model.problem(3, reward="brightness")
    with pytest.raises(UnknownNameError, match="unknown search 'nave'; did you mean 'naive'"):
        tts.play("nave", problem, engine)
    with pytest.raises(SettingError, match="recipe: an initial noise and one entry for each of the model's 4 steps"):
        tts.replay([], 3, engine)
    with pytest.raises(SettingError, match=r"seed 1\.5 is no integer; read rows by pyarrow"):
        tts.replay([{"seed": 1.5, "moves": []}] * 5, 3, engine)
    with pytest.raises(SettingError, match=r"recipe: a recipe has a move by 2, which must be from 0 to 1"):
        tts.replay([{"seed": 1, "moves": [{"kind": "turn", "seed": 1, "radius": 2}]}] * 5, 3, engine)
    with pytest.raises(EngineError, match="batch = 4: on this device a row's result depends on the rows beside it"):
        tts.play("naive", Problem(1, 0, ToyModel().sampler.plan, "brightness"), toy_engine(CrowdedModel(), 4))
    elsewhere = tts.Engine(tts.LoadedModel("x", model.settings, model.model, "cuda"), engine.rewards, 8)
    with pytest.raises(SettingError, match="its device is cpu, its model's is cuda"):
        tts.play("naive", problem, elsewhere)


def test_a_reward_that_cannot_judge_the_model_is_refused(model: tts.LoadedModel) -> None:
    from tts.models.edm import EDM

    other = tts.LoadedModel("edm", EDM(), model.model, "cpu")
    with pytest.raises(SettingError, match="reward class_probability: its classifier knows CIFAR-10's classes"):
        tts.load_reward("class_probability", other)
    engine = tts.Engine(other, {"class_probability": tts.load_reward("class_probability", model)}, 8)
    with pytest.raises(SettingError, match="reward class_probability: its classifier knows CIFAR-10's classes"):
        tts.play("naive", other.problem(3, reward="class_probability"), engine)


def test_importing_the_package_imports_next_to_nothing() -> None:
    code = "import sys, tts; dir(tts); assert not {'torch', 'numpy', 'pydantic'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(tts.__file__).parents[1])


def test_problems_and_the_front_door_come_without_torch() -> None:
    code = "import sys, tts; tts.play, tts.Problem, tts.load_model, tts.Search; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(tts.__file__).parents[1])


def test_every_name_of_the_package_is_there() -> None:
    assert all(getattr(tts, name) is not None for name in tts.__all__)
    with pytest.raises(AttributeError, match="no attribute 'plai'"):
        tts.plai  # noqa: B018
