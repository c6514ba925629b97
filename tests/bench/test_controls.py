"""``compute: more-steps``: plain samples at the cost of each budget, as separate runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import bench, refused
from tiny_study import TINY

from bench.report.controls import with_controls
from bench.study.config import RunConfig
from bench.study.controls import controls
from bench.study.study import Study
from tts.errors import SettingError
from tts.models.cifar10 import Cifar10
from tts.plan import Plan
from tts.registry import MODELS

SEARCHES = ["naive", {"name": "best_of_n", "budget": {"N": [2, 4, 8]}}]


def config(**changes: Any) -> RunConfig:
    values = {
        "model": {"name": "cifar10", "sampler": {"name": "heun", "steps": 18}},
        "rewards": ["brightness"],
        "searches": SEARCHES,
        "engines": {"backend": "local"},
        "output": "runs/one",
        "compute": "more-steps",
        **changes,
    }
    return RunConfig.model_validate(values)


def test_each_budget_pays_for_steps() -> None:
    """N steps of Heun cost 2 N - 1 forwards: 70, 140 and 280 forwards pay for 35, 70 and 140 steps."""
    found = controls(config())
    assert [each.model["sampler"] for each in found if isinstance(each.model, dict)] == [
        {"name": "heun", "steps": steps} for steps in (35, 70, 140)
    ]
    assert [str(each.output) for each in found] == [f"runs/one/more-steps/{steps}" for steps in (35, 70, 140)]
    assert {str(each.searches) for each in found} == {"['naive']"}
    for each, budget in zip(found, (70, 140, 280), strict=True):
        model = MODELS.make(each.model)[1]
        assert model.plan().nfe() <= budget < 2 * (model.sampler.steps + 1) - 1
    assert controls(config(compute="search")) == []
    assert [each.compute for each in found] == ["search"] * 3


@pytest.mark.parametrize("model", ["cifar10", {"name": "cifar10", "sampler": "heun"}, {"name": "cifar10"}])
def test_a_models_own_steps_are_what_it_begins_with(model: Any) -> None:
    found = controls(config(model=model, output="s3://bucket/run"))
    assert str(found[0].output) == "s3://bucket/run/more-steps/35"


def test_a_sampler_that_cannot_have_more_steps_has_the_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sampler may have a limit of steps, such as that of a training schedule."""
    plan = Cifar10.plan

    def limited(self: Cifar10) -> Plan:
        if self.sampler.steps > 50:
            raise SettingError("steps: 50 at most")
        return plan(self)

    monkeypatch.setattr(Cifar10, "plan", limited)
    assert [str(each.output) for each in controls(config())] == ["runs/one/more-steps/35", "runs/one/more-steps/50"]


def test_without_a_larger_budget_there_is_no_control() -> None:
    with pytest.raises(SettingError, match="needs a search whose budget pays for more steps"):
        controls(config(searches=["naive"]))


def test_its_problems_are_those_of_the_run() -> None:
    """The control has the same conditions and seeds, so it begins with the same noises."""
    run, found = Study(config()), [Study(each) for each in controls(config())]
    first = next(iter(run.trials()))
    assert {next(iter(each.trials())).problem_seed for each in found} == {first.problem_seed}


def test_a_run_has_its_control_beside_it_which_reports_find(tmp_path: Path) -> None:
    file, folder = tmp_path / "run.yaml", tmp_path / "run"
    values = {**TINY, "searches": ["naive", {"name": "best_of_n", "budget": {"N": [2]}}], "output": str(folder)}
    values = {
        **values,
        "compute": "more-steps",
        "rewards": ["brightness"],
        "engines": {**TINY["engines"], "simulate": 0.0},
    }
    file.write_text(yaml.safe_dump(values))
    said = bench("plan", file)
    assert "besides, compute: more-steps: " in said.words
    result = bench("run", file, "--no-report")
    assert (result.code, result.err) == (0, "")
    [control] = (folder / "more-steps").iterdir()
    assert with_controls([folder]) == [str(folder), str(control)]
    assert with_controls([folder, control]) == [str(folder), str(control)]
    (folder / "more-steps" / "9").mkdir()
    (folder / "more-steps" / "notes").mkdir()
    assert with_controls([folder]) == [str(folder), str(control)]
    assert bench("run", file, "--no-report").code == 0  # nothing is left to do
    refused("compute", "run", file, "--set", "compute=steps")


def test_a_batch_that_is_still_to_be_measured_changes_no_control() -> None:
    auto = {"backend": "local", "batch": "auto"}
    found = controls(config(engines=auto))
    assert [control.output for control in found] == [control.output for control in controls(config())]
    assert {control.engines.batch for control in found} == {config(engines=auto).engines.batch}
