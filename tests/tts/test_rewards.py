"""Rewards against closed forms and computations by hand."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from tts.errors import SettingError, WeightsError
from tts.files import weights_file
from tts.models.cifar10 import Cifar10
from tts.models.edm import EDM
from tts.networks.small_resnet import SmallResNet
from tts.networks.small_vgg import SmallVGG
from tts.registry import REWARDS
from tts.rewards.brightness import Brightness
from tts.rewards.class_judge import ClassJudge
from tts.rewards.class_probability import ClassProbability
from tts.rewards.compressibility import Compressibility, scale_to


def random_images(count: int, size: int = 32, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, size, size), generator=generator, dtype=torch.uint8)


def colour(red: int, green: int, blue: int, size: int = 32) -> Tensor:
    """An image of one colour."""
    return torch.tensor([red, green, blue], dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, size, size)


NETWORKS = {ClassProbability: SmallResNet, ClassJudge: SmallVGG}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[type[ClassProbability], Path]:
    """Weights of untrained classifiers."""
    folder, found = tmp_path_factory.mktemp("weights"), {}
    for kind, network in NETWORKS.items():
        found[kind] = folder / f"{kind.name}.safetensors"
        with torch.random.fork_rng():
            torch.manual_seed(0)
            weights_file.save(network(), found[kind])
    return found


@pytest.mark.parametrize(
    ("rgb", "value"),
    [((0, 0, 0), 0), ((255, 255, 255), 1), ((255, 0, 0), 0.2126), ((0, 255, 0), 0.7152), ((0, 0, 255), 0.0722)],
)
def test_brightness_of_one_colour(rgb: tuple[int, int, int], value: float) -> None:
    assert Brightness().load().score(colour(*rgb), [0]) == [pytest.approx(value, abs=1e-15)]


def test_brightness_equals_the_mean_over_pixels() -> None:
    images = random_images(5)
    unit = images.double() / 255
    luminance = 0.2126 * unit[:, 0] + 0.7152 * unit[:, 1] + 0.0722 * unit[:, 2]
    assert Brightness().load().score(images, [0] * 5) == pytest.approx(luminance.mean(dim=(1, 2)).tolist(), abs=1e-12)


def test_brightness_does_not_change_with_the_order_of_pixels() -> None:
    """Integers are summed, so the sum has no rounding error."""
    images = random_images(1)
    shuffled = images.flatten(2)[:, :, torch.randperm(1024)].view_as(images)
    reward = Brightness().load()
    assert reward.score(images, [0]) == reward.score(shuffled, [0])


def jpeg_size(image: Tensor, quality: int = 80) -> int:
    file = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).numpy().copy()).save(file, "JPEG", quality=quality)
    return len(file.getvalue())


@pytest.mark.parametrize("quality", [20, 80])
def test_compressibility_equals_pils_jpeg(quality: int) -> None:
    images = random_images(3)
    expected = [1 - jpeg_size(image, quality) / 5000 for image in images]
    assert Compressibility(quality=quality, max_bytes=5000).load().score(images, [0] * 3) == pytest.approx(expected)


@pytest.mark.parametrize(("size", "limit"), [(32, 2000), (64, 3000), (512, 150_000)])
def test_compressibility_knows_the_studys_sizes(size: int, limit: int) -> None:
    image = colour(10, 200, 30, size)
    assert scale_to(size) == limit
    assert Compressibility().load().score(image, [0]) == [pytest.approx(1 - jpeg_size(image[0]) / limit)]


def test_compressibility_scales_unknown_sizes_by_area() -> None:
    assert scale_to(16) == 500
    assert scale_to(1024) == 600_000


def test_compressibility_ends_at_0() -> None:
    assert Compressibility(max_bytes=10).load().score(random_images(2), [0, 0]) == [0, 0]


def test_smooth_images_compress_better() -> None:
    smooth, noisy = Compressibility(max_bytes=4000).load().score(torch.cat([colour(9, 9, 9), random_images(1)]), [0, 0])
    assert smooth > noisy


def unit(images: Tensor) -> Tensor:
    return images.float() / 127.5 - 1


@pytest.mark.parametrize("kind", NETWORKS)
def test_class_probability_is_the_softmax_of_the_wanted_class(
    kind: type[ClassProbability], files: dict[type[ClassProbability], Path]
) -> None:
    """The classifier gets images in [-1, 1], not [0, 1]."""
    network, images, labels = NETWORKS[kind](), random_images(8), [0, 9, 3, 3, 1, 2, 4, 7]
    weights_file.load(network, files[kind])
    with torch.no_grad():
        expected = network.eval()(unit(images)).softmax(dim=1)[range(8), labels]
    found = kind(weights=files[kind]).load().score(images, labels)
    assert found == pytest.approx(expected.tolist(), rel=1e-4)


@pytest.mark.parametrize("kind", NETWORKS)
def test_class_probabilities_of_all_classes_sum_to_1(
    kind: type[ClassProbability], files: dict[type[ClassProbability], Path]
) -> None:
    same = random_images(1).expand(10, 3, 32, 32)
    assert sum(kind(weights=files[kind]).load().score(same, list(range(10)))) == pytest.approx(1)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", NETWORKS)
def test_class_probability_without_weights_says_which_file_is_missing(
    kind: type[ClassProbability], tmp_path: Path
) -> None:
    settings = kind(weights=tmp_path / "none.safetensors")
    for use in (settings.check, settings.identity, settings.load):
        with pytest.raises(WeightsError, match=r"none\.safetensors"):
            use()


def test_class_probability_is_identified_by_its_weights_wherever_they_lie(
    files: dict[type[ClassProbability], Path], tmp_path: Path
) -> None:
    path, elsewhere = files[ClassProbability], tmp_path / "other.safetensors"
    elsewhere.write_bytes(path.read_bytes())
    assert ClassProbability(weights=elsewhere).identity() == ClassProbability(weights=path).identity()


def test_a_classifiers_weights_are_not_its_judges(files: dict[type[ClassProbability], Path]) -> None:
    assert ClassProbability().path != ClassJudge().path
    with pytest.raises(WeightsError, match="made for another network than SmallVGG"):
        ClassJudge(weights=files[ClassProbability]).load()


@pytest.mark.parametrize("kind", NETWORKS)
def test_classifiers_of_cifar10_refuse_other_models(kind: type[ClassProbability]) -> None:
    kind().suits(Cifar10())
    with pytest.raises(SettingError, match=f"reward {kind.name}: its classifier knows CIFAR-10's classes"):
        kind().suits(EDM())


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("batch", [32, 64])
def test_a_row_of_a_whole_batch_does_not_depend_on_its_place(kind: type[ClassProbability], batch: int) -> None:
    """The test uses the shipped weights on one thread, like an engine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        reward, images = kind().load(), random_images(batch)
        values, order = reward.score(images, [3] * batch), torch.randperm(batch)
        assert reward.score(images[order], [3] * batch) == [values[k] for k in order]
        beside = random_images(batch, seed=1)
        beside[batch // 2] = images[0]
        assert reward.score(beside, [3] * batch)[batch // 2] == values[0]
    finally:
        torch.set_num_threads(threads)


def in_units(images: Tensor, name: str, **settings: Any) -> bool:
    """Whether a reward of these images lies in [0, 1]."""
    reward = REWARDS.make({"name": name, **settings})[1].load("cpu", lambda condition: f"a {condition}")
    return all(isinstance(value, float) and 0 <= value <= 1 for value in reward.score(images, list(range(len(images)))))


@pytest.fixture(scope="module")
def various() -> Tensor:
    """Images that are random, black and white."""
    return torch.cat([random_images(4), colour(0, 0, 0), colour(255, 255, 255)])


@pytest.mark.parametrize("name", ["brightness", "compressibility"])
def test_a_reward_in_units_is_between_0_and_1(various: Tensor, name: str) -> None:
    assert in_units(various, name)


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_probability_is_between_0_and_1(
    various: Tensor, kind: type[ClassProbability], files: dict[type[ClassProbability], Path]
) -> None:
    assert in_units(various, kind.name, weights=files[kind])


@pytest.mark.slow
def test_a_probability_of_torchvisions_networks_is_between_0_and_1(various: Tensor, tmp_path: Path) -> None:
    import tiny_rewards

    squeeze = tiny_rewards.torchvision_classifier(tmp_path / "squeeze.pth")
    assert in_units(various, "classifier", model="squeezenet1_1", weights=str(squeeze))
