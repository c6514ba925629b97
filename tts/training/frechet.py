"""The Frechet distance of two sets of features as normal distributions, from their moments."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tts.errors import WeightsError
from tts.files import weights_file


class Moments(NamedTuple):
    """Mean ``[F]`` and covariance ``[F, F]`` (n - 1) of the features of ``n`` images."""

    n: int
    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]


def moments(features: NDArray[Any]) -> Moments:
    """Moments of features ``[N, F]``, N > 1; summed in float64."""
    centre = features.mean(axis=0, dtype=np.float64)
    from_centre = features - centre
    return Moments(len(features), centre, from_centre.T @ from_centre / (len(features) - 1))


def frechet_distance(a: Moments, b: Moments) -> float:
    r"""Squared Frechet distance of two normal distributions (Heusel et al. 2017, arXiv 1706.08500).

    ``|mu_a - mu_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^{1/2})``; the trace of the root is the sum of the roots of the
    eigenvalues of ``C_a C_b``, which are real and not negative but for rounding.

    Args:
        a, b: moments of features of the same kind; fewer than F images make a covariance singular and the distance too
            large.
    """
    mean = a.mean - b.mean
    roots = np.sqrt(np.clip(np.linalg.eigvals(a.covariance @ b.covariance).real, 0, None))
    return float(mean @ mean + np.trace(a.covariance) + np.trace(b.covariance) - 2 * roots.sum())


def save(found: Moments, path: Path, extractor: str) -> None:
    """Write moments in float32.

    Args:
        extractor: digest of the weights of the network whose features they are of.
    """
    tensors = {"mean": found.mean.astype(np.float32), "covariance": found.covariance.astype(np.float32)}
    weights_file.write({**tensors, "n": np.array(found.n)}, path, {"extractor": extractor})


def save_rows(features: NDArray[Any], path: Path, extractor: str) -> None:
    """Write features ``[N, F]`` of single images in float16.

    Args:
        extractor: digest of the weights of the network whose features they are.
    """
    weights_file.write({"features": features.astype(np.float16)}, path, {"extractor": extractor})


def load_rows(path: Path, extractor: str) -> NDArray[np.float32]:
    """Features that :func:`save_rows` wrote, ``[N, F]``.

    Args:
        extractor: as given there.

    Raises:
        WeightsError: the file is missing, damaged or of another network's features.
    """
    return _tensors(path, extractor, ["features"])[0].astype(np.float32)


def load(path: Path, extractor: str) -> Moments:
    """Moments that :func:`save` wrote.

    Args:
        extractor: as given there.

    Raises:
        WeightsError: the file is missing, damaged or of another network's features.
    """
    n, mean, covariance = _tensors(path, extractor, ["n", "mean", "covariance"])
    return Moments(int(n), mean.astype(np.float64), covariance.astype(np.float64))


def _tensors(path: Path, extractor: str, names: list[str]) -> list[NDArray[Any]]:
    from safetensors import SafetensorError, safe_open

    weights_file.digest(path)
    with safe_open(path, framework="numpy") as file:
        if (file.metadata() or {}).get("extractor") != extractor:
            raise WeightsError(f"weights {path}: of another network's features")
        try:
            return [file.get_tensor(name) for name in names]
        except SafetensorError:
            raise WeightsError(f"weights {path}: lacks {' or '.join(names)}") from None
