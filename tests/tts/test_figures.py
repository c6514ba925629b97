"""Figures and samples of trained networks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tts.networks.small_resnet import SmallResNet
from tts.training.data import Images
from tts.training.evaluate import accuracy, features, sample_figures
from tts.training.samples import grid, sample


class RedLevel(nn.Module):
    """A classifier of ten levels of red."""

    def forward(self, x: Tensor) -> Tensor:
        level = ((x[:, 0].mean(dim=(1, 2)) + 1) * 127.5 / 25).round().long()
        return nn.functional.one_hot(level.clamp(0, 9), 10).float()


def reds(levels: list[int]) -> Tensor:
    return torch.tensor(levels, dtype=torch.uint8).mul(25).view(-1, 1, 1, 1).expand(-1, 3, 32, 32)


@pytest.mark.parametrize("batch", [2, 500])
def test_accuracy_is_the_share_of_right_answers(batch: int) -> None:
    images = Images(reds([0, 3, 5, 9, 9]), torch.tensor([0, 3, 4, 9, 1]))
    assert accuracy(RedLevel(), images, batch) == pytest.approx(3 / 5)


def test_figures_of_samples() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        classifier = SmallResNet(widths=(4, 8)).eval()
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (40, 3, 32, 32), generator=generator, dtype=torch.uint8)
    images = Images(pixels, torch.zeros(40, dtype=torch.long))
    figures = sample_figures(classifier, images, images)
    assert (figures.n, figures.wanted) == (40, accuracy(classifier, images))
    assert figures.frechet == pytest.approx(0, abs=1e-6)
    assert features(classifier, pixels, batch=7).shape == (40, 8)


class ToyDenoiser(nn.Module):
    """A denoiser that shrinks its input; labels set the brightness."""

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        keep = (0.25 / (0.25 + sigma**2)).float().view(-1, 1, 1, 1)
        return keep * x + (1 - keep) * (labels.float() / 5 - 1).view(-1, 1, 1, 1)


def test_a_sample_depends_on_its_place_and_seed_only() -> None:
    whole = sample(ToyDenoiser(), [1, 2, 3, 4, 5])
    assert torch.equal(sample(ToyDenoiser(), [1, 2, 3, 4, 5], batch=2), whole)
    assert torch.equal(sample(ToyDenoiser(), [1, 2, 3]), whole[:3])
    assert not torch.equal(sample(ToyDenoiser(), [1, 2, 3, 4, 5], seed=1), whole)


def test_samples_show_their_labels() -> None:
    levels = sample(ToyDenoiser(), [0, 5, 9]).float().mean(dim=(1, 2, 3)).tolist()
    assert levels == sorted(levels)
    assert levels[2] - levels[0] > 50


def test_a_grid_has_a_row_for_each_class() -> None:
    picture = grid(ToyDenoiser(), columns=2)
    assert (picture.shape, picture.dtype) == ((3, 10 * 33 + 1, 2 * 33 + 1), torch.uint8)
