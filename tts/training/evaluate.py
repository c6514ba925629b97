"""Figures of the embedded networks: accuracy, and how good plain samples are."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tts.networks.small_resnet import SmallResNet
from tts.networks.small_vgg import SmallVGG
from tts.training.data import Images, to_unit
from tts.training.frechet import frechet_distance, moments

Classifier: TypeAlias = SmallResNet | SmallVGG


@torch.inference_mode()
def accuracy(classifier: nn.Module, images: Images, batch: int = 500) -> float:
    """Share of images that a classifier gives to their own class."""
    classifier.eval()
    found = torch.cat([classifier(to_unit(pixels)).argmax(dim=1) for pixels in torch.split(images.pixels, batch)])
    return float((found == images.labels).double().mean())


@torch.inference_mode()
def features(classifier: Classifier, pixels: Tensor, batch: int = 500) -> NDArray[np.float64]:
    """The classifier's pooled features of uint8 images, ``[N, F]``."""
    return torch.cat([classifier.features(to_unit(part)) for part in torch.split(pixels, batch)]).double().numpy()


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


def sample_figures(classifier: Classifier, samples: Images, test: Images) -> SampleFigures:
    """What a classifier says of samples with their wanted labels, against real test images."""
    distance = frechet_distance(*(moments(features(classifier, images.pixels)) for images in (samples, test)))
    return SampleFigures(len(samples.labels), accuracy(classifier, samples), distance)
