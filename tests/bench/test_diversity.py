"""Measures of reward hacking against brute force: distances between images, and to a reference."""

from __future__ import annotations

import json
import time
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from synthetic_trials import cell, trial

from bench.statistics.features import Features, reference_moments
from bench.statistics.hacking import (
    DIVERSITY,
    FRECHET,
    diversity,
    frechet,
)
from tts.rewards.class_judge import ClassJudge
from tts.training.frechet import Moments, frechet_distance, moments

SEARCHES = ("naive", "random")


def imaged(seeds: int = 4, conditions: int = 3, size: int = 5) -> tuple[pd.DataFrame, NDArray[np.float32]]:
    """Shuffled trials of two searches, with features."""
    rows = [
        trial(search=search, condition=condition, seed=seed)
        for search in SEARCHES
        for condition in range(conditions)
        for seed in range(seeds)
    ]
    frame = pd.DataFrame(rows).sample(frac=1, random_state=0, ignore_index=True)
    return frame, np.random.default_rng(0).normal(0.5, 1, (len(frame), size)).astype(np.float32)


def brute_force(frame: pd.DataFrame, features: NDArray[Any]) -> float:
    """Mean over conditions of the mean distance over pairs."""
    found: dict[str, list[float]] = {}
    for a, b in combinations(range(len(frame)), 2):
        if frame["condition"].iloc[a] == frame["condition"].iloc[b]:
            x, y = features[a].astype(float), features[b].astype(float)
            distance = 1 - x @ y / np.linalg.norm(x) / np.linalg.norm(y)
            found.setdefault(frame["condition"].iloc[a], []).append(distance)
    return float(np.mean([np.mean(distances) for distances in found.values()]))


def test_diversity_equals_brute_force_over_pairs() -> None:
    frame, features = imaged()
    table = diversity(frame, features)
    assert list(table.columns) == DIVERSITY
    for search in SEARCHES:
        mine = (frame["search"] == search).to_numpy()
        row = cell(table, search=search)
        assert row["distance"] == pytest.approx(brute_force(frame[mine], features[mine]), rel=1e-5)
        assert (row["images"], row["conditions"], row["pairs"]) == (12, 3, 18)
        assert row["low"] <= row["distance"] <= row["high"]
    naive, random = (cell(table, search=search) for search in SEARCHES)
    assert naive["relative"] == 1
    assert random["relative"] == pytest.approx(random["distance"] / naive["distance"])


def test_images_that_are_missing_or_alone_are_in_no_pair() -> None:
    frame, features = imaged()
    gone = ((frame["condition"] == "0") & (frame["seed"] > 0)).to_numpy()
    features[gone] = np.nan
    row = cell(diversity(frame, features), search="random")
    kept = ((frame["condition"] != "0") & (frame["search"] == "random")).to_numpy()
    assert (row["images"], row["conditions"], row["pairs"]) == (9, 2, 12)
    assert row["distance"] == pytest.approx(brute_force(frame[kept], features[kept]), rel=1e-5)


def test_one_image_of_each_condition_has_no_diversity() -> None:
    table = diversity(*imaged(seeds=1))
    assert set(table["pairs"]) == {0}
    assert table[["distance", "low", "high", "relative"]].isna().all(axis=None)


def test_equal_images_have_distance_0_and_opposite_ones_2() -> None:
    frame, _ = imaged(seeds=2)
    same, turned = np.ones((len(frame), 4), np.float32), np.ones((len(frame), 4), np.float32)
    turned[(frame["seed"] == 1).to_numpy()] = -1
    assert diversity(frame, same)["distance"].tolist() == pytest.approx([0, 0], abs=1e-6)
    assert diversity(frame, turned)["distance"].tolist() == pytest.approx([2, 2])


def reference(size: int = 5) -> Moments:
    draws = np.random.default_rng(1).normal(0.5, 1, (5000, size))
    return moments(draws)


def test_frechet_is_each_points_distance_with_its_n() -> None:
    frame, features = imaged()
    table = frechet(frame, features, reference())
    assert list(table.columns) == FRECHET
    for search in SEARCHES:
        mine = (frame["search"] == search).to_numpy()
        row = cell(table, search=search)
        assert row["n"] == 12
        assert row["distance"] == pytest.approx(frechet_distance(moments(features[mine]), reference()))


@pytest.mark.parametrize(("images", "warned"), [(9, True), (10, False)])
def test_too_few_images_always_warn(images: int, warned: bool) -> None:
    frame, features = imaged(seeds=images, conditions=1)
    table = frechet(frame, features, reference())
    assert table["warning"].notna().tolist() == [warned] * 2
    if warned:
        assert table["warning"][0].startswith("9 images are too few for 5 features")


def test_the_floor_is_what_the_reference_itself_would_have() -> None:
    """The floor falls with n, and draws from the reference lie near it."""
    frame, features = imaged(seeds=200)
    few, many = (frechet(frame[keep], features[keep], reference()) for keep in (frame["seed"] < 5, frame["seed"] >= 0))
    assert few["floor"].min() > 5 * many["floor"].max() > 0
    assert many["distance"].tolist() == pytest.approx(many["floor"].tolist(), rel=0.5)


def test_one_image_has_no_frechet_distance() -> None:
    frame, features = imaged(seeds=1, conditions=1)
    table = frechet(frame, features, reference())
    assert table[["distance", "floor"]].isna().all(axis=None)
    assert table["warning"].notna().all()


def test_the_shipped_reference_is_of_the_shipped_judges_features() -> None:
    digest = ClassJudge().identity()["weights"]
    found = reference_moments(Features(np.empty((0, 192), np.float32), "the judge's", digest))
    assert found is not None
    assert (found.n, found.mean.shape) == (50_000, (192,))
    assert np.linalg.eigvalsh(found.covariance).min() > -1e-6
    assert frechet_distance(found, found) == pytest.approx(0, abs=1e-3)


@pytest.mark.slow
def test_a_hundred_thousand_images_take_seconds() -> None:
    """16 points with 6250 images of 250 conditions each, 256 features."""
    n, size = 100_000, 256
    place = np.arange(n)
    settings = [json.dumps({"N": k}) for k in range(16)]
    columns = {"search": "random", "budget": "N", "reward": "brightness", "error": None, "value": 0.5}
    frame = pd.DataFrame({"trial": place.astype(str), "seed": place % 25, **columns})
    frame["settings"] = np.array(settings)[place % 16]
    frame["budget_value"] = (place % 16).astype(float)
    frame["condition"] = (place // 16 % 250).astype(str)
    features = np.random.default_rng(0).standard_normal((n, size), np.float32)
    begun = time.process_time()
    table = diversity(frame, features)
    distances = frechet(frame, features, Moments(n, np.zeros(size), np.eye(size)))
    assert time.process_time() - begun < 30
    assert table["pairs"].tolist() == [250 * 25 * 24 // 2] * 16
    assert distances["warning"].isna().all()
    assert distances["distance"].to_numpy() == pytest.approx(distances["floor"].to_numpy(), rel=0.1)
