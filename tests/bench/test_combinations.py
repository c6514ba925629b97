"""Every model with every reward that suits it and every search in this process; on Ray a selection, bit for bit.

A reward's value for an image does not depend on the model that drew it. So on Ray one model has all rewards, and other
models have only rewards that read the condition: classifiers read classes, PickScore and a user's own read prompts. Nor
does an engine's process depend on the model, so on Ray there is one model of each kind: one that ships, one from a
checkpoint and one from a folder of several networks. ``test_families`` has every model on Ray, with one reward.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import edm_pickles
import pandas as pd
import pytest
import tiny_pipelines
import tiny_rewards
from local_rows import rows_of
from standing_engine import StandingEngine
from tiny_study import small

from bench.study.config import RunConfig
from bench.study.study import Study
from bench.workers.backends import make_pool

SEARCHES: list[Any] = [
    "naive",
    {"name": "best_of_n", "N": 2},
    {"name": "random", "N": 2},
    {"name": "beam", "N": 2, "B": 2},
    {"name": "mcts", "N": 2, "S": 2},
    {"name": "zero_order", "N": 2, "K": 2},
    {"name": "eps_greedy", "N": 2, "K": 2},
]
CONDITIONS = {"stable-diffusion": ["a tench"], "stable-diffusion-xl": ["a tench"]}
ON_RAY = ("cifar10", "edm", "stable-diffusion-xl")
OF_THE_STUDY = {"trial", "reward_calls"}
"""Columns that tell all rewards of a study."""
OWN: dict[str, Any] = {"name": "own_rewards:redness", "captions": True}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Every model on tiny random weights, with few steps."""
    folder = tmp_path_factory.mktemp("models")
    preview = str(tiny_pipelines.save_tiny_autoencoder(folder / "preview"))
    found: dict[str, dict[str, Any]] = {
        name: {"id": str(tiny_pipelines.save(make(), folder / name)), "steps": 3, "guidance": 3.0}
        for name, make in tiny_pipelines.PIPELINES.items()
    }
    found["stable-diffusion"]["preview"] = preview
    sampler = {"steps": 3, "S_max": 100}
    checkpoint = str(edm_pickles.save(edm_pickles.network(**edm_pickles.TINY), folder / "edm.pkl"))
    found["edm"] = {"checkpoint": checkpoint, "classes": 4, "sampler": sampler}
    found["cifar10"] = small(**sampler)
    return found


@pytest.fixture(scope="module")
def rewards(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Every reward except classifiers, on tiny random weights, and a run as a sample for ranks."""
    folder = tmp_path_factory.mktemp("rewards")
    (folder / "run" / "trials").mkdir(parents=True)
    plain = pd.DataFrame(
        {"search": "naive", "score_brightness": [0.4, 0.5, 0.6], "score_compressibility": [0.1, 0.2, 0.9]}
    )
    plain.to_parquet(folder / "run" / "trials" / "part-0.parquet")
    found: dict[str, Any] = {name: {"name": name, **v} for name, v in tiny_rewards.all_settings(folder / "w").items()}
    clip = found["clip"]
    return {
        **{name: reward for name, reward in found.items() if name != "classifier"},
        "brightness": "brightness",
        "compressibility": "compressibility",
        "weighted": {"name": "weighted", "of": [{"reward": clip, "weight": 2}, {"reward": "compressibility"}]},
        "rank_average": {
            "name": "rank_average",
            "of": ["brightness", "compressibility"],
            "reference": str(folder / "run"),
        },
        "redness": OWN,
    }


def classifiers(name: str, folder: Path) -> dict[str, Any]:
    """The classifiers that know a model's classes."""
    if name == "cifar10":
        return {"class_probability": "class_probability"}
    if name not in ("edm", "dit"):
        return {}
    classes = 1000 if name == "dit" else 4
    guided = tiny_rewards.guided_classifier(folder / "guided.pt", classes)
    squeeze = tiny_rewards.torchvision_classifier(folder / "squeeze.pth", classes=classes)
    return {
        "guided": {
            "name": "classifier",
            "as": "guided",
            "model": "guided-diffusion-64",
            "weights": str(guided),
            "classes": classes,
        },
        "squeeze": {
            "name": "classifier",
            "as": "squeeze",
            "model": "squeezenet1_1",
            "weights": str(squeeze),
            "classes": classes,
        },
    }


def point(row: dict[str, Any]) -> tuple[str, str, str]:
    """What a row is of, whatever other rewards its study has."""
    return row["reward"], row["search"], row["settings"]


@pytest.mark.parametrize("name", ["cifar10", "edm", "stable-diffusion", "stable-diffusion-xl", "dit"])
def test_every_reward_and_search(
    name: str,
    models: dict[str, dict[str, Any]],
    rewards: dict[str, Any],
    tmp_path: Path,
    ray_address: str,
    standing: StandingEngine,
) -> None:
    of_classes = [*classifiers(name, tmp_path).values()]
    every = [*rewards.values(), *of_classes]
    config = {
        "model": {"name": name, **models[name]},
        "rewards": every,
        "searches": SEARCHES,
        "problems": {"conditions": CONDITIONS.get(name, [1])},
        "engines": {"backend": "local", "batch": 6, "score_batch": 2},
        "output": "unused",
    }
    here = Study(RunConfig.model_validate(config))
    rows = rows_of(here, make_pool(here))
    assert len(rows) == here.size == len(SEARCHES) * len(every)
    unscored = {row["reward"] for row in rows.values() if row["value"] is None}
    assert unscored == set()
    assert all(row["nfe"] <= trial.algorithm.nfe(here.plan) for trial in here.trials() for row in [rows[trial.key]])
    assert len({row["image"] for row in rows.values()}) > len(rows) / 4  # other rewards lead to other images
    if name not in ON_RAY:
        return
    if name != "cifar10":
        of_prompts = [rewards["pickscore"]] if name in tiny_pipelines.PIPELINES else []
        config["rewards"] = [OWN, *of_prompts, *of_classes]
    engines = {"backend": "ray", "batch": 6, "score_batch": 2}
    there = Study(RunConfig.model_validate({**config, "engines": engines}))
    found = rows_of(there, standing.pool(there, ray_address), shuffle=1)
    assert len(found) == there.size
    known = {point(row): row for row in rows.values()}
    for row in found.values():
        same = known[point(row)]
        alike = row.keys() if len(found) == len(rows) else row.keys() - OF_THE_STUDY
        assert {name: row[name] for name in alike} == {name: same[name] for name in alike}
