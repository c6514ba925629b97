"""Studies of a flow: every search and its replay, and messages about missing or excessive noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
from own_flow import Gaussians
from pydantic import Field
from rich.console import Console
from tiny_study import TINY

from bench.run import replay
from bench.run.start import run
from bench.store import reader as store
from bench.study.config import RunConfig
from bench.study.study import Study
from tts.errors import SettingError
from tts.plan import Plan
from tts.samplers.interpolant import InterpolantSettings
from tts.samplers.settings import InterpolantByDefault
from tts.search.best_of_n import BestOfN
from tts.settings import parse
from tts.testing.levels import StraightLevels


class Flow(Gaussians):
    """The model of Gaussian data, stepped by the interpolant."""

    sampler: InterpolantByDefault = Field(default_factory=InterpolantSettings)  # type: ignore[assignment]

    def plan(self) -> Plan:
        return self.sampler.on(StraightLevels()).plan

    def load(self, device: str = "cpu") -> Any:
        loaded = self.model_copy()
        object.__setattr__(loaded, "sampler", self.sampler.on(StraightLevels()))
        return loaded


class OnlyInitial(BestOfN):
    """A search that moves only the initial noise."""

    only_initial: ClassVar[bool] = True


def config(share: float, *searches: Any, output: object = "x") -> RunConfig:
    model = {"name": "test_flow_studies:Flow", "sampler": {"steps": 4, "noise": {"share": share}}}
    given = {**TINY, "model": model, "rewards": ["brightness"], "searches": list(searches), "output": output}
    return parse(RunConfig, {**given, "problems": {"conditions": [0, 1]}}, "here")


def test_rows_of_a_flow_replay_and_cost_what_is_said(tmp_path: Path) -> None:
    run(Study(config(0.7, "naive", {"name": "random", "N": 3}, output=tmp_path)).config, Console(quiet=True))
    rows = store.read(tmp_path).to_pylist()
    assert {(row["search"], row["nfe"]) for row in rows} == {("naive", 4), ("random", 1 + 3 * 3)}
    assert all(replay.replay(tmp_path, row["trial"], trust=True).identical for row in rows)


@pytest.mark.parametrize("search", [{"name": "random", "N": 3}, {"name": "rank_ensemble", "search": "random"}])
def test_an_ode_leaves_nothing_to_a_search_over_noises(search: dict[str, Any]) -> None:
    told = rf"injects no noise at any step.*{search['name']}.*raise the sampler's noise \(S_churn"
    with pytest.raises(SettingError, match=told):
        Study(config(0, search))
    assert Study(config(0, {"name": "best_of_n", "N": 3})).plan.noisy_steps == ()


@pytest.mark.parametrize(("share", "notes"), [(1.0, 1), (0.5, 0), (0.0, 0)])
def test_a_search_of_the_initial_noise_says_where_it_is_forgotten(share: float, notes: int) -> None:
    ranked = {"name": "rank_ensemble", "search": {"name": "zero_order_initial", "N": 2}, "size": 1}
    study = Study(config(share, {"name": "test_flow_studies:OnlyInitial", "N": 2}, ranked, "naive"))
    assert study.notes() == notes * [
        "OnlyInitial, rank_ensemble: searches the initial noise alone, of which the sampler's first step leaves next "
        "to nothing; set the sampler's noise.share to 0, so that the initial noise decides the image"
    ]
