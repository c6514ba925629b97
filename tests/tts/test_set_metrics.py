"""Metrics of sets against closed forms, explicit sums over all pairs, and torch-fidelity's own functions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from checks_of_metrics import METRICS as CHECKS
from scipy.spatial.distance import cdist
from scipy.special import softmax
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric

from tts.metrics import kernel, neighbours, sums
from tts.metrics.base import MetricSettings, MetricValue
from tts.metrics.fid import FID, FIDInfinity
from tts.metrics.frechet import FrechetTo, frechet_with_interval
from tts.metrics.inception_score import InceptionScore
from tts.metrics.jackknife import with_interval
from tts.metrics.kernel import cubic, kernel_with_interval
from tts.metrics.kid import KID
from tts.metrics.manifolds import Coverage, Density, Precision, Recall
from tts.metrics.neighbours import Manifold, mean, share, squared_distances
from tts.metrics.vendi import Vendi
from tts.training.frechet import frechet_distance, moments

SIZE = 12


def drawn(rows: int, seed: int, shift: float = 0.0, scale: float = 1.0) -> np.ndarray:
    """Correlated features, ``[rows, SIZE]`` float32."""
    mixed = np.random.default_rng(7).normal(size=(SIZE, SIZE))
    own = np.random.default_rng(seed).normal(size=(rows, SIZE))
    return (shift + scale * own @ mixed).astype(np.float32)


FAKE, REAL = drawn(230, 0, 0.4, 0.9), drawn(260, 1)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let metrics work in small chunks."""
    monkeypatch.setattr(sums, "ROWS", 64)
    monkeypatch.setattr(sums.chunks, "__defaults__", (64,))
    monkeypatch.setattr(kernel, "ROWS", 50)
    monkeypatch.setattr(neighbours, "HELD", 3000)


def test_sums_give_the_moments_of_any_rows() -> None:
    whole = sums.sums([FAKE[:100], FAKE[100:]])
    for found, rows in [
        (whole, FAKE),
        (whole.without(FAKE[10:90]), np.delete(FAKE, np.s_[10:90], axis=0)),
        (sums.sums([FAKE[:50]]).plus(FAKE[50:]), FAKE),
    ]:
        expected = moments(rows)
        assert found.n == expected.n
        np.testing.assert_allclose(found.moments.mean, expected.mean, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(found.moments.covariance, expected.covariance, rtol=1e-9, atol=1e-9)
    with pytest.raises(ValueError, match="no rows"):
        sums.sums([])


def test_the_frechet_distance_is_that_of_the_product_s_eigenvalues() -> None:
    reference = moments(REAL)
    assert FrechetTo(reference)(moments(FAKE)) == pytest.approx(frechet_distance(moments(FAKE), reference), rel=1e-9)
    assert FrechetTo(reference)(reference) == pytest.approx(0, abs=1e-6)
    singular = moments(REAL[:5])
    assert FrechetTo(singular)(moments(FAKE)) == pytest.approx(frechet_distance(moments(FAKE), singular), rel=1e-6)


def test_fid_is_torch_fidelity_s() -> None:
    statistics = [fid_features_to_statistics(torch.from_numpy(rows).double()) for rows in (FAKE, REAL)]
    expected = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert FID(features="judge").aggregate(FAKE, moments(REAL)).value == CHECKS["fid"].near(expected)


def same_interval(found: MetricValue, features: np.ndarray, statistic: Callable[[np.ndarray], float]) -> None:
    """Assert that the jackknife from sums equals one that computes the statistic again without each group."""
    assert found == pytest.approx(tuple(with_interval(features, statistic)), rel=1e-7)


def test_intervals_from_sums_are_those_of_computing_all_anew() -> None:
    reference = moments(REAL)
    same_interval(frechet_with_interval(FAKE, reference), FAKE, lambda rows: frechet_distance(moments(rows), reference))
    same_interval(kernel_with_interval(FAKE, REAL), FAKE, lambda rows: kernel_with_interval(rows[:, :], REAL).value)
    same_interval(Vendi(features="judge").aggregate(FAKE, None), FAKE, vendi_of_the_whole_matrix)


def vendi_of_the_whole_matrix(rows: np.ndarray) -> float:
    """The Vendi score from the eigenvalues of ``K/n``."""
    unit = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32).astype(float)
    values = np.linalg.eigvalsh(unit @ unit.T / len(rows))
    values = values[values > 1e-12]
    return float(np.exp(-(values * np.log(values)).sum()))


def test_vendi_counts_what_differs() -> None:
    for count in (1, 4, 10):
        rows = np.repeat(np.eye(SIZE, dtype=np.float32)[:count], 6, axis=0)
        assert Vendi().aggregate(rows, None).value == pytest.approx(count)
    assert Vendi().aggregate(np.zeros((3, 2), np.float32), None).value == pytest.approx(1)


def test_kid_is_torch_fidelity_s_over_one_subset_of_all() -> None:
    a, b = torch.from_numpy(FAKE[:200]), torch.from_numpy(REAL[:200])
    how = {"kid_subsets": 1, "kid_subset_size": 200, "verbose": False}
    expected = kid_features_to_metric(a.double(), b.double(), **how)["kernel_inception_distance_mean"]
    found = KID(reference="x").aggregate(FAKE[:200], Manifold(REAL[:200]))
    assert found.value == CHECKS["kid"].near(expected)
    assert found.low < found.value < found.high


def test_kid_is_the_mean_over_pairs_and_unbiased() -> None:
    x, y = FAKE[:9].astype(float), REAL[:7].astype(float)
    own = sum(cubic(x[i : i + 1], x[j : j + 1]).item() for i in range(9) for j in range(9) if i != j) / 72
    real = sum(cubic(y[i : i + 1], y[j : j + 1]).item() for i in range(7) for j in range(7) if i != j) / 42
    expected = own + real - 2 * cubic(x, y).mean()
    assert kernel_with_interval(FAKE[:9], REAL[:7]).value == pytest.approx(expected)
    pool, few = drawn(4000, 5), []
    for k in range(200):
        few.append(kernel_with_interval(pool[10 * k : 10 * k + 10], pool[2000 + 10 * k : 2010 + 10 * k]).value)
    assert abs(np.mean(few)) < 3 * np.std(few) / math.sqrt(len(few))
    assert min(few) < 0


def test_precision_and_recall_are_torch_fidelity_s() -> None:
    how = {"prc_neighborhood": 3, "prc_batch_size": 100, "save_cpu_ram": False, "verbose": False}
    close = drawn(230, 3, 2.0, 0.6)
    expected = prc_features_to_metric(torch.from_numpy(close).double(), torch.from_numpy(REAL).double(), **how)
    found = [kind(reference="x").aggregate(close, Manifold(REAL)) for kind in (Precision, Recall)]
    assert [each.value for each in found] == CHECKS["precision"].near([expected["precision"], expected["recall"]])
    assert all(0 < each.low < each.value < each.high < 1 for each in found)


def test_density_and_coverage_are_their_sums_over_pairs() -> None:
    fake, k = drawn(90, 3, 0.4, 0.6), 5
    near = np.sort(cdist(REAL.astype(float), REAL.astype(float)), axis=1)[:, k]
    inside = cdist(REAL.astype(float), fake.astype(float)) <= near[:, None]
    density = Density(reference="x").aggregate(fake, Manifold(REAL))
    assert density.value == pytest.approx(inside.sum() / (k * len(fake)))
    assert density.low < density.value < density.high
    assert Coverage(reference="x").aggregate(fake, Manifold(REAL)).value == pytest.approx(inside.any(axis=1).mean())


def test_distances_are_scipy_s() -> None:
    far = FAKE + 1000
    found = np.concatenate([*squared_distances(far, far)])
    np.testing.assert_allclose(found, cdist(far.astype(float), far.astype(float), "sqeuclidean"), rtol=1e-6, atol=1e-6)
    assert (np.diag(found) == 0).all()


def test_the_inception_score_is_torch_fidelity_s() -> None:
    logits = drawn(205, 4, scale=0.4)
    for splits in (1, 10):
        expected = isc_features_to_metric(torch.from_numpy(logits), splits, shuffle=False)["inception_score_mean"]
        found = InceptionScore(splits=splits).aggregate(logits, None)
        assert found.value == CHECKS["inception score"].near(expected)
        assert found.low < found.value < found.high
    assert InceptionScore(splits=1).aggregate(logits[:1], None).value == pytest.approx(1)
    same_interval(InceptionScore(splits=1).aggregate(logits, None), logits, one_split)


def one_split(logits: np.ndarray) -> float:
    """The inception score of one split, by its definition."""
    p = softmax(logits.astype(float), axis=1)
    return float(np.exp((p * np.log(p / p.mean(axis=0))).sum(axis=1).mean()))


def test_the_score_of_sure_and_even_classes_is_their_number() -> None:
    logits = np.tile(np.where(np.eye(10) > 0, 800.0, 0.0), (3, 1)).astype(np.float32)
    assert InceptionScore(splits=3).aggregate(logits, None).value == pytest.approx(10)


def test_infinitely_many_images_have_no_bias() -> None:
    """The distance of a normal distribution to itself is 0; estimated from N images it is too large."""
    wide = np.random.default_rng(3).normal(size=(400, 20)).astype(np.float32)
    reference = moments(np.concatenate([np.eye(20), -np.eye(20)]) * math.sqrt(39 / 2))
    np.testing.assert_allclose(reference.covariance, np.eye(20), atol=1e-12)
    biased = FID(features="judge").aggregate(wide, reference).value
    found = FIDInfinity(features="judge").aggregate(wide, reference)
    assert biased > 0.2
    assert abs(found.value) < biased / 2
    assert found.low < found.value < found.high


def test_shares_and_means_have_intervals_that_hold_them() -> None:
    assert share(np.array([True] * 10)) == pytest.approx((1.0, 0.7224672, 1.0), abs=1e-6)  # Wilson's, in closed form
    assert share(np.array([False] * 10)) == pytest.approx((0.0, 0.0, 1 - 0.7224672), abs=1e-6)
    found = mean(np.array([0.0, 1.0, 2.0]))
    assert found == pytest.approx((1.0, 1 - 4.302653 / math.sqrt(3), 1 + 4.302653 / math.sqrt(3)), abs=1e-5)
    assert math.isnan(mean(np.array([2.0])).low)


@pytest.mark.parametrize(
    ("metric", "reference"),
    [
        (FID(features="judge"), moments(REAL)),
        (FIDInfinity(features="judge"), moments(REAL)),
        (KID(reference="x"), Manifold(REAL)),
        (Precision(reference="x"), Manifold(REAL)),
        (Recall(reference="x"), Manifold(REAL)),
        (Density(reference="x"), Manifold(REAL)),
        (Coverage(reference="x"), Manifold(REAL)),
        (InceptionScore(), None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_single_image_has_no_value(metric: MetricSettings, reference: Any) -> None:
    assert math.isnan(metric.aggregate(FAKE[:1], reference).value)


def test_a_reference_s_own_pairs_are_seen_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reference, kid = Manifold(REAL), KID(features="judge")
    first = kid.aggregate(FAKE, reference)
    assert first == kernel_with_interval(FAKE, REAL)
    monkeypatch.setattr(reference, "_known", {"kernel": kernel.mean_of_pairs(REAL) + 1})
    assert kid.aggregate(FAKE, reference).value == pytest.approx(first.value + 1)
