"""The study's own flags, and generate's settings of model, reward and engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from command_line import bench, refused, size

from bench.run.drawing import Request
from bench.study.study_flags import DEFAULTS, METHODS, SCORERS, translate
from tts.errors import SettingError
from tts.registry import REWARDS, SEARCHES

NOTHING: dict[str, Any] = dict.fromkeys(DEFAULTS)


@pytest.mark.parametrize(
    ("method", "search"),
    [
        ("naive", {"name": "naive"}),
        ("rejection", {"name": "best_of_n", "N": 4}),
        ("beam", {"name": "beam", "N": 4, "B": 2}),
        ("mcts", {"name": "mcts", "N": 4, "S": 8}),
        ("zero_order", {"name": "zero_order", "N": 4, "K": 20, "lambda": 0.15}),
        ("eps_greedy", {"name": "eps_greedy", "N": 4, "K": 20, "lambda": 0.15, "eps": 0.4}),
    ],
)
def test_methods_with_the_studys_defaults(method: str, search: dict[str, Any]) -> None:
    found = translate("edm", "imagenet", method, NOTHING)
    assert (found.model, found.search, found.notes) == ("edm", search, [])
    assert found.reward == {"name": "classifier", "model": "guided-diffusion-64"}
    SEARCHES.make(found.search)


def test_every_scorer_and_method_is_one_of_ours() -> None:
    for reward in SCORERS.values():
        REWARDS.make(reward)
    assert {name for name, _ in METHODS.values()} <= set(SEARCHES.targets)


def test_flags_without_effect_are_named() -> None:
    found = translate("sd", "clip", "zero_order", {**NOTHING, "eps": 0.4, "B": 3, "K": 7, "lambda": 0.2})
    assert found.search == {"name": "zero_order", "N": 4, "K": 7, "lambda": 0.2}
    assert found.notes == ["--eps has no effect on method zero_order", "--B has no effect on method zero_order"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("sdd", None, None), "--backend sdd: unknown; did you mean 'sd'"),
        ((None, "bright", None), "--scorer bright: unknown; did you mean 'brightness'"),
        ((None, None, "eps-greedy"), "--method eps-greedy: unknown; did you mean 'eps_greedy'"),
    ],
)
def test_unknown_names_are_refused(flags: tuple[str | None, ...], message: str) -> None:
    with pytest.raises(SettingError) as error:
        translate(*flags, NOTHING)
    assert message in str(error.value)


def request(**changes: Any) -> Request:
    values = {
        "model": None,
        "search": None,
        "reward": None,
        "condition": None,
        "seed": 0,
        "batch": None,
        "threads": 1,
        "device": "cpu",
        "settings": [],
    }
    return Request(**{**values, **changes})


def test_settings_of_every_part() -> None:
    given = ["K=2", "model.sampler.steps=5", "reward.quality=30", "engines.score_batch=2"]
    values, search = request(reward="compressibility", settings=given).values()
    assert values["model"] == {"name": "cifar10", "sampler": {"steps": 5}}
    assert values["rewards"] == [{"name": "compressibility", "quality": 30}]
    assert (values["held_out"], values["engines"]["score_batch"]) == (["brightness"], 2)
    assert search == {"name": "eps_greedy", "K": 2}


@pytest.mark.parametrize(
    ("search", "rows"), [("naive", 1), ("eps_greedy", 5), ("beam", 9), ("best_of_n", 5), ("mcts", 5)]
)
def test_the_batch_is_what_the_search_has_in_flight(search: str, rows: int) -> None:
    """A single problem cannot fill a larger batch, and padding costs time."""
    assert request(search=search).values()[0]["engines"]["batch"] == rows


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import tiny_pipelines

    return tiny_pipelines.save(tiny_pipelines.stable_diffusion(), tmp_path_factory.mktemp("sd") / "it")


@pytest.mark.slow
def test_a_command_of_the_studys_draws(pipeline: Path, tmp_path: Path) -> None:
    words = "--backend sd --scorer compressibility --method eps_greedy --N 2 --K 1 --B 7 --seed 3 --device cpu"
    ours = ["--set", f"model.id={pipeline}", "--set", "model.sampler.steps=3", "--threads", 1]
    result = bench("generate", *words.split(), "--prompt", "a tench", "--output", tmp_path / "it.png", *ours)
    assert result.code == 0, result.err
    assert result.err == "--B has no effect on method eps_greedy\n"
    assert "eps_greedy on compressibility: a tench" in result.words
    assert size(tmp_path / "it.png") == (16, 16)


@pytest.mark.slow
def test_a_prompt_that_is_cut_is_said(pipeline: Path, tmp_path: Path) -> None:
    given = [
        "--model",
        "stable-diffusion",
        "--search",
        "naive",
        "--set",
        f"model.id={pipeline}",
        "--set",
        "model.steps=2",
    ]
    result = bench("generate", *given, "--prompt", "an enormous tench", "--output", tmp_path / "it.png")
    assert result.code == 0, result.err
    assert "is longer than the 14 tokens that are read; cut: 'h'" in result.err


def test_mixed_words_are_refused(tmp_path: Path) -> None:
    refused("--model and the study's own flags cannot be mixed", "generate", "--model", "edm", "--method", "mcts")
    refused("--prompt is missing", "generate", "--backend", "sd")
    refused("--set model=edm: name its setting", "generate", "--set", "model=edm", "--output", tmp_path / "x.png")
