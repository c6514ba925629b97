"""The Frechet distance against closed forms, and stored moments."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import sqrtm

from tts.errors import WeightsError
from tts.training.frechet import frechet_distance, load, moments, save


def normals(rows: int, seed: int, scale: float = 1.0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return scale * generator.normal(size=(rows, 6)) @ np.random.default_rng(7).normal(size=(6, 6))


def test_moments_are_numpys() -> None:
    found = moments(normals(100, 0).astype(np.float32))
    assert found.n == 100
    np.testing.assert_allclose(found.mean, normals(100, 0).mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(found.covariance, np.cov(normals(100, 0), rowvar=False), rtol=1e-4)


def test_frechet_distance_to_itself_is_0() -> None:
    same = moments(normals(100, 0))
    assert frechet_distance(same, same) == pytest.approx(0, abs=1e-5)


def test_frechet_distance_of_moved_features_is_the_squared_way() -> None:
    assert frechet_distance(moments(normals(100, 0)), moments(normals(100, 0) + 2)) == pytest.approx(6 * 4, abs=1e-5)


def test_frechet_distance_equals_the_matrix_root() -> None:
    a, b = normals(200, 0), normals(300, 1, scale=1.7)
    covariances = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = sqrtm(covariances[0] @ covariances[1]).real
    way = a.mean(axis=0) - b.mean(axis=0)
    expected = way @ way + np.trace(sum(covariances) - 2 * root)
    assert frechet_distance(moments(a), moments(b)) == pytest.approx(expected, rel=1e-6)


def test_moments_come_back_as_float32(tmp_path: Path) -> None:
    path, found = tmp_path / "moments.safetensors", moments(normals(100, 0))
    save(found, path, "abc")
    again = load(path, "abc")
    assert again.n == 100
    assert np.array_equal(again.mean, found.mean.astype(np.float32))
    assert np.array_equal(again.covariance, found.covariance.astype(np.float32))


def test_moments_of_another_networks_features_are_refused(tmp_path: Path) -> None:
    save(moments(normals(100, 0)), tmp_path / "moments.safetensors", "abc")
    with pytest.raises(WeightsError, match=r"moments\.safetensors: of another network's features"):
        load(tmp_path / "moments.safetensors", "abd")


def test_damaged_moments_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "moments.safetensors"
    save(moments(normals(100, 0)), path, "abc")
    path.write_bytes(path.read_bytes()[:-1] + b"\x42")
    with pytest.raises(WeightsError, match="damaged"):
        load(path, "abc")
