"""Figures of the embedded networks: accuracy, and how good plain samples are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tts.models.small_resnet import SmallResNet
from tts.training.data import Images, to_unit


@torch.inference_mode()
def accuracy(classifier: nn.Module, images: Images, batch: int = 500) -> float:
    """Share of images that a classifier gives to their own class."""
    classifier.eval()
    found = torch.cat([classifier(to_unit(pixels)).argmax(dim=1) for pixels in torch.split(images.pixels, batch)])
    return float((found == images.labels).double().mean())


@torch.inference_mode()
def features(classifier: SmallResNet, pixels: Tensor, batch: int = 500) -> NDArray[np.float64]:
    """The classifier's pooled features of uint8 images, ``[N, F]``."""
    return torch.cat([classifier.features(to_unit(part)) for part in torch.split(pixels, batch)]).double().numpy()


def frechet_distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    r"""Squared Frechet distance of two sets of features as normal distributions (Heusel et al. 2017, arXiv 1706.08500).

    ``|mu_a - mu_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^{1/2})``; the trace of the root is the sum of the roots of the
    eigenvalues of ``C_a C_b``, which are real and not negative but for rounding.

    Args:
        a, b: features, ``[N, F]``; fewer than F rows make a covariance singular and the distance too large.
    """
    mean = a.mean(axis=0) - b.mean(axis=0)
    covariance_a, covariance_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    roots = np.sqrt(np.clip(np.linalg.eigvals(covariance_a @ covariance_b).real, 0, None))
    return float(mean @ mean + np.trace(covariance_a) + np.trace(covariance_b) - 2 * roots.sum())


class SampleFigures(NamedTuple):
    """Figures of plain samples.

    Args:
        n: how many samples.
        wanted: share that the classifier gives to the wanted class.
        frechet: distance of their features to those of the test images.
    """

    n: int
    wanted: float
    frechet: float


def sample_figures(classifier: SmallResNet, samples: Images, test: Images) -> SampleFigures:
    """What a classifier says of samples with their wanted labels, against real test images."""
    distance = frechet_distance(features(classifier, samples.pixels), features(classifier, test.pixels))
    return SampleFigures(len(samples.labels), accuracy(classifier, samples), distance)
