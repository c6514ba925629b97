"""The front door: a search in a few lines of Python, bit for bit what a run stores."""

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
import tiny_pipelines
from command_line import bench
from PIL import Image
from tiny_study import SEARCHES, SMALL, WEIGHTS, save_weights
from toy_engine import toy_engine

import tts
from tts.errors import EngineError, SearchError, SettingError, TTSError, UnknownNameError
from tts.models.cifar10 import Cifar10
from tts.plan import Plan
from tts.rewards.brightness import Brightness
from tts.search.base import Problem, Run
from tts.search.best_of_n import BestOfN
from tts.search.naive import Naive
from tts.search.segment import Segment, State, best
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
    """Every search: images, recipes, scores and costs, bit for bit."""
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


def test_guidance_takes_two_forwards_a_prediction(tmp_path: Path) -> None:
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


class Told(Naive):
    """A search that does as it is told."""

    def run(self, problem: Problem) -> Run:
        return FAULTS[FAULT[0]](problem)


FAULT = [""]


def forgets_to_yield(problem: Problem) -> Any:
    return [problem.trajectory()]


def yields_a_segment(problem: Problem) -> Any:
    return (yield problem.trajectory())


def yields_numbers(problem: Problem) -> Any:
    return (yield [1])


def ends_with_none(problem: Problem) -> Any:
    yield [problem.trajectory()]


def ends_early(problem: Problem) -> Any:
    [start] = yield [Segment(problem.noise(-1), (None,), problem.condition)]
    return start


def starts_from_a_copy(problem: Problem) -> Any:
    [start] = yield [Segment(problem.noise(-1), (None,), problem.condition)]
    copy = State(start.state.key, start.state.engine, start.state.step, start.state.noises)
    del start
    return best((yield [Segment(copy, (None,) * 6, problem.condition)]))


def asks_for_another_reward(problem: Problem) -> Any:
    return best((yield [problem.trajectory(scored="compressibility")]))


def goes_too_far(problem: Problem) -> Any:
    return best((yield [Segment(problem.noise(-1), (None,) * 9, problem.condition)]))


def draws_something_else(problem: Problem) -> Any:
    return best((yield [replace(problem.trajectory(), condition=7)]))


def never_ends(problem: Problem) -> Any:
    while True:
        yield [problem.trajectory()]


def never_does_anything(problem: Problem) -> Any:
    while True:
        yield []


def gives_odd_noises(problem: Problem) -> Any:
    return best((yield [replace(problem.trajectory(), noises=(0.5,) * 7)]))


def starts_from_a_seed(problem: Problem) -> Any:
    return best((yield [replace(problem.trajectory(), start=5)]))


FAULTS: dict[str, Any] = {
    "returned a list": forgets_to_yield,
    "yielded a Segment.*; a search yields lists of segments": yields_a_segment,
    r"a list with a int \(1\) in it; every entry must be a Segment": yields_numbers,
    "ended with None; a search must return the evaluation that it chose": ends_with_none,
    "ended at step 1 of 7; a search must return an evaluation of a finished trajectory": ends_early,
    "starts from a state at step 1 that it was not given, or has let go": starts_from_a_copy,
    "asks for the reward 'compressibility'; it may search on 'brightness' only": asks_for_another_reward,
    "goes on to step 9; this problem's trajectories have 7 steps": goes_too_far,
    "draws 7; a search draws its problem's condition, 1": draws_something_else,
    r"has spent 26 forwards where its nfe\(plan\) says at most 13": never_ends,
    "times in a row for nothing that costs a forward; it never ends": never_does_anything,
    r"has a float \(0.5\) among a segment's noises": gives_odd_noises,
    r"starts a segment from a int \(5\)": starts_from_a_seed,
}


@pytest.mark.parametrize("message", FAULTS)
def test_a_search_that_breaks_a_rule_is_told_which(message: str) -> None:
    """And the engine is as it was."""
    engine, FAULT[0] = toy_engine(), message
    with pytest.raises(SearchError, match=message) as found:
        tts.play(Told(), Problem(1, 0, engine.model.sampler.plan, "brightness"), engine)
    assert "\n" not in str(found.value)
    del found
    gc.collect()
    assert (engine.states, engine.busy) == ({}, False)


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
