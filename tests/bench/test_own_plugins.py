"""Plug-ins of a user's own: a depth-first search with re-noising on every sampler; a flow model and its sampler."""

from __future__ import annotations

import inspect
import math
from pathlib import Path
from typing import Any

import own_dfs
import own_flow
import own_flow_sampler
import pytest
import torch
from own_dfs import DFS
from own_flow import Gaussians
from own_flow_sampler import FlowAncestral
from rich.console import Console
from tiny_study import TINY, small

from bench.run import replay
from bench.run.start import run
from bench.store import reader as store
from bench.study.config import RunConfig
from bench.study.study import Study
from tts.noise import normal
from tts.recipe import Back, Recipe, end
from tts.samplers.base import Position, drive, follow
from tts.search.naive import Naive
from tts.settings import parse
from tts.testing.model import ModelConformance
from tts.testing.sampler import SamplerConformance
from tts.testing.search import SearchConformance
from tts.testing.toy import PLANS, World, chaotic

SHAPE = (3, 64, 64)


@pytest.mark.parametrize("module", [own_dfs, own_flow, own_flow_sampler])
def test_a_plug_in_is_short(module: Any) -> None:
    assert len(inspect.getsource(module).splitlines()) < 60


class TestDFS(SearchConformance):
    """The user's search keeps to the rules of every search."""

    @pytest.fixture(params=[{}, {"every": 1, "back": 1}, {"every": 2, "back": 1, "tries": 2}, {"every": 1, "back": 3}])
    def search(self, request: pytest.FixtureRequest) -> DFS:
        return DFS(**request.param)


@pytest.mark.parametrize("name", PLANS)
def test_a_threshold_that_all_pass_is_plain_sampling(name: str) -> None:
    ours, plain = World(PLANS[name]), World(PLANS[name])
    search = DFS(threshold=-1e9, every=1)
    assert ours.play(search).state.noises == plain.play(Naive()).state.noises
    assert ours.nfe == plain.nfe


@pytest.mark.parametrize("name", PLANS)
def test_a_threshold_that_none_passes_takes_every_try_at_the_first_look(name: str) -> None:
    plan, search = PLANS[name], DFS(threshold=1e9, every=2, back=1, tries=3)
    world = World(plan)
    chosen = world.play(search)
    turns = [segment for segments in world.rounds for segment in segments if isinstance(segment.noises[0], Back)]
    assert [segment.noises[0].to for segment in turns] == [1, 1, 1]
    assert world.nfe == plan.nfe() + 3 * search.turn_nfe(plan, 2)
    looked = [chaotic(segment.recipe) for segments in world.rounds for segment in segments if segment.stop == 2]
    assert chaotic(_until(chosen.state.noises, 2)) == max(looked)


def _until(recipe: Recipe, step: int) -> Recipe:
    """The recipe up to the last action that led to a step."""
    ends = [k for k in range(1, len(recipe) + 1) if end(0, recipe[1:k]) == step]
    return recipe[: ends[-1]]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A model on each sampler."""
    import tiny_pipelines

    folder = tiny_pipelines.save(tiny_pipelines.PIPELINES["dit"](), tmp_path_factory.mktemp("saved") / "dit")
    return {
        "heun": small(steps=7),
        "ddim": {"name": "dit", "id": str(folder), "sampler": {"name": "ddim", "steps": 7}},
        "flow": {"name": "own_flow:Gaussians", "sampler": {"steps": 7}},
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["heun", "ddim", "flow"])
def test_a_run_that_goes_back_costs_what_it_says_and_replays_bit_for_bit(
    name: str, models: dict[str, Any], tmp_path: Path
) -> None:
    searches = [{"name": "own_dfs:DFS", "every": 2, "back": 1, "threshold": t, "tries": 3} for t in (0.0, 1e9)]
    given = {**TINY, "model": models[name], "rewards": ["brightness"], "searches": ["naive", *searches], "trace": True}
    problems = {"conditions": [0, 1], "seeds": 1}
    study = Study(parse(RunConfig, {**given, "problems": problems, "output": tmp_path}, "here"))
    run(study.config, Console(quiet=True))
    rows = {(row["condition"], row["search"], row["settings"]): row for row in store.read(tmp_path).to_pylist()}
    assert len(rows) == 6
    for row in rows.values():
        assert row["error"] is None
        again = replay.replay(tmp_path, row["trial"], trust=True)
        assert again.identical
        assert again.scores["brightness"] == row["value"]
    low, high = (parse(DFS, {k: v for k, v in s.items() if k != "name"}, "it") for s in searches)
    plan = study.plan
    turned = plan.nfe() + 3 * (plan.back + plan.nfe(1, 2))
    assert sorted(row["nfe"] for row in rows.values()) == sorted(2 * [plan.nfe(), plan.nfe(), turned])
    assert turned == plan.nfe() + 3 * high.turn_nfe(plan, 2)
    for condition in ("0", "1"):
        plain, untried = rows[condition, "naive", Naive().text], rows[condition, "DFS", low.text]
        assert plain["image"] == untried["image"]
        assert plain["noises"] == untried["noises"]
        assert len(rows[condition, "DFS", high.text]["noises"]) >= len(plain["noises"])


class TestFlowAncestral(SamplerConformance):
    """The user's sampler keeps to the rules of every sampler."""

    @pytest.fixture(params=[{}, {"eta": 0.5, "steps": 5}, {"eta": 0.0, "steps": 2}])
    def sampler(self, request: pytest.FixtureRequest) -> FlowAncestral:
        return FlowAncestral(**request.param)


class TestGaussians(ModelConformance):
    """The user's model keeps to the rules of every model."""

    @pytest.fixture
    def model(self) -> Gaussians:
        return Gaussians()


def marginals(steps: int, eta: float) -> list[tuple[float, float, float]]:
    """Level, mean and deviation of class 1 after each step."""
    model = Gaussians(sampler=FlowAncestral(steps=steps, eta=eta))
    sampler, found = model.sampler, []

    def answer(call: Any) -> torch.Tensor:
        return model.denoise(call.x[None], torch.tensor([call.level], dtype=torch.float64), [1])[0]

    at: Position = drive(sampler.initial(torch.from_numpy(normal(0, SHAPE))), answer)
    for index in range(steps):
        noise = torch.from_numpy(normal(1 + index, SHAPE)) if sampler.plan.injects[index] else None
        at = drive(follow(sampler, at, [noise], index), answer)
        found.append((1 - (index + 1) / steps, float(at.x.mean()), float(at.x.std())))
    return found


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_marginals_of_the_flow_are_the_closed_form(eta: float) -> None:
    """x_s of N(m, d^2) has mean (1 - s) m and variance (1 - s)^2 d^2 + s^2; the ancestral steps converge to it."""
    worst = []
    for steps in (8, 40, 200):
        gaps = [
            (abs(mean - (1 - s) * 0.3), abs(std / math.hypot((1 - s) * 0.5, s) - 1))
            for s, mean, std in marginals(steps, eta)
        ]
        assert max(gap for gap, _ in gaps) < 0.05
        worst.append(max(gap for _, gap in gaps))
    assert worst == sorted(worst, reverse=True)
    assert worst[-1] < 0.05
