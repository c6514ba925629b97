"""Model adapters: the embedded model and its parts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tts.errors import SettingError, WeightsError
from tts.files import weights_file
from tts.models.base import Model
from tts.models.cifar10 import CLASSES, Cifar10
from tts.networks.folded_unet import FoldedUNet
from tts.networks.precondition import EDMPrecond, edm_loss
from tts.networks.small_resnet import SmallResNet
from tts.networks.small_vgg import SmallVGG
from tts.rewards.class_judge import ClassJudge
from tts.rewards.class_probability import ClassProbability
from tts.samplers.heun import StochasticHeun


class One(nn.Module):
    """A network that answers 1."""

    def forward(self, x: Tensor, c_noise: Tensor, labels: Tensor) -> Tensor:
        return torch.ones_like(x)


class Zero(nn.Module):
    """A raw network that answers 0 and remembers what it saw."""

    def forward(self, x: Tensor, c_noise: Tensor, labels: Tensor) -> Tensor:
        self.seen = x, c_noise, labels
        return torch.zeros_like(x)


def drawn(count: int, scale: float = 1.0, size: int = 8) -> Tensor:
    return scale * torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(0))


def test_preconditioning_without_a_network_is_ideal_for_gaussian_data() -> None:
    """c_skip x is the posterior mean of N(0, s^2 I)."""
    sigma = torch.tensor([0.002, 0.5, 80.0], dtype=torch.float64)
    D = EDMPrecond(Zero())(drawn(3), sigma, torch.zeros(3, dtype=torch.long))
    torch.testing.assert_close(D, (0.25 / (0.25 + sigma**2)).float().view(-1, 1, 1, 1) * drawn(3))


def test_preconditioning_shows_the_network_unit_variance() -> None:
    network, sigma = Zero(), torch.full((64,), 3.0, dtype=torch.float64)
    EDMPrecond(network)(drawn(64, scale=(9 + 0.25) ** 0.5), sigma, torch.arange(64))
    x, c_noise, labels = network.seen
    assert float(x.std()) == pytest.approx(1, rel=0.02)
    torch.testing.assert_close(c_noise, torch.full((64,), 3.0).log() / 4)
    assert labels.tolist() == list(range(64))


def test_preconditioning_scales_the_networks_answer() -> None:
    """c_out = sigma s / sqrt(sigma^2 + s^2)."""
    D = EDMPrecond(One())(torch.zeros(2, 3, 4, 4), torch.tensor([0.5, 80.0]).double(), None)
    assert D[:, 0, 0, 0].tolist() == pytest.approx([0.25 / 0.5**0.5, 40 / (6400.25) ** 0.5])


def test_the_loss_of_an_untrained_network_is_about_1() -> None:
    loss = edm_loss(EDMPrecond(Zero()), drawn(512, scale=0.5), torch.zeros(512), torch.Generator().manual_seed(1))
    assert float(loss) == pytest.approx(1, rel=0.03)


@pytest.fixture(scope="module")
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with an untrained network."""
    path = tmp_path_factory.mktemp("weights") / "denoiser.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        weights_file.save(EDMPrecond(FoldedUNet()), path)
    return path


@pytest.fixture(scope="module")
def model(random_weights: Path) -> Model:
    return Cifar10(weights=random_weights).load()


def test_the_network_has_the_size_it_claims() -> None:
    parameters = sum(p.numel() for p in FoldedUNet().parameters())
    assert round(parameters / 1e6, 1) == 5.0


@torch.inference_mode()
def test_the_model_listens_to_condition_and_level(model: Model) -> None:
    x = drawn(1, size=32).expand(4, -1, -1, -1)
    levels = torch.tensor([1.0, 1.0, 1.0, 2.0], dtype=torch.float64)
    D = model.denoise(x, levels, [3, 3, 4, 3])
    assert torch.equal(D[0], D[1])
    assert not torch.equal(D[0], D[2])
    assert not torch.equal(D[0], D[3])


def test_decoding_rounds_and_clips(model: Model) -> None:
    values = torch.tensor([-2.0, -1.0, -0.999, 0.0, 1.0, 1.5])
    assert model.decode(values).tolist() == [0, 0, 0, 128, 255, 255]
    levels = torch.arange(256)
    assert torch.equal(model.decode(levels / 127.5 - 1), levels.to(torch.uint8))


@pytest.mark.parametrize(("value", "index"), [(0, 0), (9, 9), ("7", 7), ("cat", 3), ("truck", 9)])
def test_conditions_are_names_or_indices(value: object, index: int) -> None:
    assert Cifar10().condition(value) == index
    assert Cifar10().label(index) == CLASSES[index]


@pytest.mark.parametrize("value", [10, -1, "10", "-1", True, None, 1.5, [0], "kat", "", "²"])
def test_other_conditions_are_refused(value: object) -> None:
    with pytest.raises(SettingError):
        Cifar10().condition(value)


def test_a_misspelt_class_suggests_the_nearest() -> None:
    with pytest.raises(SettingError, match="unknown class 'airplan'; did you mean 'airplane'"):
        Cifar10().condition("airplan")


def test_every_condition_has_a_label() -> None:
    model = Cifar10()
    assert [model.condition(model.label(c)) for c in model.conditions()] == list(range(10))


def test_identity_is_of_weights_and_sampler(random_weights: Path, tmp_path: Path) -> None:
    """The file's place does not matter; another sampler is another model."""
    elsewhere = tmp_path / "copy.safetensors"
    elsewhere.write_bytes(random_weights.read_bytes())
    here = Cifar10(weights=random_weights)
    assert here.identity() == Cifar10(weights=elsewhere).identity()
    assert here.identity() != Cifar10(weights=random_weights, sampler=StochasticHeun(steps=9)).identity()


def test_missing_weights_are_named(tmp_path: Path) -> None:
    model = Cifar10(weights=tmp_path / "none.safetensors")
    for use in (model.check, model.identity, model.load):
        with pytest.raises(WeightsError, match=r"none\.safetensors"):
            use()


def test_shipped_weights_are_sound() -> None:
    """They have the digest that they state, and fit their networks."""
    assert Cifar10().identity()["weights"] == weights_file.digest(Cifar10().path)
    assert Cifar10().load().shape == (3, 32, 32)
    assert not ClassProbability().load().host
    assert not ClassJudge().load().host


@pytest.mark.parametrize("kind", [SmallResNet, SmallVGG])
def test_classifiers_end_in_their_features(kind: type[SmallResNet] | type[SmallVGG]) -> None:
    network = kind(widths=(4, 8, 16), classes=5).eval()
    x = drawn(2, size=32)
    assert network.features(x).shape == (2, 16)
    torch.testing.assert_close(network(x), network.head(network.features(x)))
    assert network(x).shape == (2, 5)
