"""Every shipped configuration can run, apart from its weights."""

from __future__ import annotations

from typing import Any

import pytest

from bench.study import config
from bench.study.conditions import resolve
from bench.study.config import CONFIGS, load
from bench.study.entries import entries_of
from bench.study.named import named
from tts.registry import MODELS, REWARDS

NAMES = sorted(path.stem for path in CONFIGS.glob("*.yaml"))
WITH_LISTS = ("fk-sdxl", "ma-flux", "rbf-flux-schnell", "sd35-curves", "trs-drawbench", "trs-drawbench-lightning")
"""Configurations with published prompts, which users download; :mod:`test_paper_studies` tests them."""
TRIALS = {
    "cifar10-algorithms": 50 * 98 * 3,
    "cifar10-algorithms-pilot": 20 * 87 * 3,
    "cifar10-fid": 5000 * 13,
    "cifar10-frontier": 1000 * 9,
    "cifar10-reference": 50 * 19 * 3,
    "imagenet256-dit": 1000 * 50 * 7 * 3,
    "imagenet64-edm-fid": 50_000 * 13 * 3,
    "imagenet256-sit": 1000 * 50 * 4,
    "imagenet512-edm2": 1000 * 50 * 3,
    "imagenet64-eval": 1000 * 50 * 3,
    "quickstart": 10 * 14 * 3,
    "study-edm": 36 * 8 * 3,
    "study-sd15": 36 * 8 * 3,
}


class ThousandClasses:
    """Stands for a model whose checkpoint is not on this machine."""

    def conditions(self) -> tuple[int, ...]:
        return tuple(range(1000))


def drawn(run: config.RunConfig) -> int:
    """Number of conditions."""
    name, model = MODELS.make(run.model)
    given: Any = run.problems.conditions
    known: Any = ThousandClasses() if name == "dit" else model
    return len(resolve(given, known)) if isinstance(given, dict) else len(model.conditions())


@pytest.mark.parametrize("name", sorted({*NAMES} - {*WITH_LISTS}))
def test_every_name_in_it_is_known_and_its_trials_are_counted(name: str) -> None:
    run = load(name)
    found = [entry for given in run.searches for entry in entries_of(given)]
    rewards = list(named(REWARDS, [*run.rewards, *run.held_out]))
    assert len(set(rewards)) == len(rewards)
    problems = run.problems.random or drawn(run) * run.problems.seeds
    assert problems * len(found) * len(run.rewards) == TRIALS[name]
    assert "random" in [entry.name for entry in found] or not name.startswith("study")  # the control


def test_the_studys_prompts_are_names_of_classes() -> None:
    run = load("study-sd15")
    prompts = resolve(run.problems.conditions, MODELS.make(run.model)[1])  # type: ignore[arg-type]
    assert all(prompt.startswith(("a ", "an ")) for prompt in prompts)
    labels = resolve(load("study-edm").problems.conditions, MODELS.make("edm")[1])  # type: ignore[arg-type]
    edm = MODELS.make("edm")[1]
    assert [prompt.split(" ", 1)[1] for prompt in prompts] == [edm.label(label) for label in labels]


@pytest.mark.parametrize("name", NAMES)
def test_its_header_says_what_it_is(name: str) -> None:
    assert (CONFIGS / f"{name}.yaml").read_text().startswith("# ")
