"""Differences between precisions: each draws the same trajectories, compared with float32."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import edm_pickles
import numpy as np
import pytest
import tiny_pipelines
from command_line import bench, refused
from driver_processes import write

from bench.run import precisions
from bench.run.precisions import Drawn, Effect, drawn, effect, effects, rank_correlation, variants
from bench.study.config import RunConfig
from bench.study.study import Study
from tts.errors import EngineError, SettingError

Make = Callable[..., RunConfig]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny network whose model has the setting ``precision``."""
    path = tmp_path_factory.mktemp("edm") / "tiny.pkl"
    edm_pickles.save(edm_pickles.network(**edm_pickles.TINY), path)
    return str(path)


@pytest.fixture
def config(checkpoint: str, tiny: Make) -> RunConfig:
    model = {"name": "edm", "checkpoint": checkpoint, "classes": edm_pickles.TINY["label_dim"], "sampler": {"steps": 3}}
    return tiny(
        model=model, rewards=["brightness"], searches=["naive"], problems={"conditions": [0, 1]}, engines={"batch": 4}
    )


def test_float32_is_the_measure_and_half_precisions_are_near(config: RunConfig) -> None:
    tried: list[str] = []
    found = list(effects(Study(config), 6, tried.append))
    assert [each.name for each in found] == tried == ["fp32", "fp16", "bf16"]
    first, *others = found
    assert first == Effect("fp32", (0.0, 0.0), {"brightness": (0.0, 1.0)})
    for each in others:
        assert each.fault is None
        assert each.levels is not None
        assert each.rewards["brightness"][0] < 0.1


def test_the_same_trajectories_are_drawn(config: RunConfig) -> None:
    """All images differ from each other, and a second call draws the same ones."""
    one, two = drawn(Study(config), 4), drawn(Study(config), 4)
    assert np.array_equal(one.images, two.images)
    assert len({image.tobytes() for image in one.images}) == 4


def test_differences_by_hand() -> None:
    images = np.zeros((3, 1, 1, 3), np.uint8)
    other = images.copy()
    other[0, 0, 0, 0] = 9
    values, others = np.array([0.1, 0.2, np.nan]), np.array([0.3, 0.25, 0.5])
    found = effect("bf16", Drawn(images, {"clip": values}), Drawn(other, {"clip": others}))
    assert found.levels == (9.0, 1.0)
    assert found.rewards["clip"] == (pytest.approx(0.2), pytest.approx(-1.0))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([1, 2, 3, 4], [10, 20, 30, 40], 1.0),
        ([1, 2, 3, 4], [4, 3, 2, 1], -1.0),
        ([1, 2, 3, 4], [1, 2, 4, 3], 0.8),
        ([1, 1, 1], [1, 2, 3], None),
        ([np.nan, 1], [1, 2], None),
        ([np.nan], [1], None),
    ],
)
def test_rank_correlations_by_hand(one: list[float], other: list[float], expected: float | None) -> None:
    found = rank_correlation(np.array(one, float), np.array(other, float))
    assert found == (None if expected is None else pytest.approx(expected))


def test_a_precision_that_cannot_be_had_is_told(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def draw(study: Study, count: int) -> Drawn:
        if getattr(study.model, "precision", None) == "fp16":
            raise EngineError("no halves here")
        return Drawn(np.zeros((1, 1, 1, 3), np.uint8), {})

    monkeypatch.setattr(precisions, "drawn", draw)
    found = list(effects(Study(config), 1))
    assert [each.fault for each in found] == [None, "no halves here", None]


def test_without_float32_nothing_is_compared(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def draw(study: Study, count: int) -> Drawn:
        raise EngineError("nothing works")

    monkeypatch.setattr(precisions, "drawn", draw)
    with pytest.raises(EngineError, match="nothing works"):
        next(effects(Study(config), 1))


def test_weights_in_8_bits_are_tried_where_a_model_may_have_them(tiny: Make, tmp_path: Path) -> None:
    folder = tiny_pipelines.save(tiny_pipelines.stable_diffusion(), tmp_path / "sd")
    model = {"name": "stable-diffusion", "id": str(folder), "sampler": {"steps": 3}}
    study = Study(tiny(model=model, rewards=["brightness"], problems={"conditions": ["a cat"]}))
    found = dict(variants(study))
    assert list(found) == ["fp32", "fp16", "bf16", "int8 weights, bf16"]  # CPUs do not compute in fp8
    assert [getattr(each.model, "quantization", None) for each in found.values()] == [None, None, None, "int8"]


def test_a_model_of_one_precision_is_refused(tiny: Make) -> None:
    with pytest.raises(SettingError, match="model cifar10: has one precision only"):
        next(effects(Study(tiny()), 1))


@pytest.mark.parametrize(
    ("message", "options"),
    [
        ("--batches: --precisions measures no batch sizes", "--precisions --batches 8"),
        ("--trajectories 4: are drawn for --precisions only; set it", "--batches 1 --trajectories 4"),
    ],
)
def test_options_that_would_be_ignored_are_refused(message: str, options: str) -> None:
    refused(message, "calibrate", "quickstart", *options.split())


def test_the_command_prints_a_table(config: RunConfig, tmp_path: Path) -> None:
    result = bench("calibrate", write(config, tmp_path / "run.yaml"), "--precisions", "--trajectories", "4")
    assert result.code == 0
    for words in ("Against float32, 4 trajectories", "bf16", "brightness", "rank"):
        assert words in result.words
