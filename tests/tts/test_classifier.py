"""The reward of ImageNet classifiers: identity, refused weights, and suitable models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny_rewards
import torch
from hostile import pickle_that_makes
from tiny_classifiers import guided

from tts.errors import SettingError, WeightsError
from tts.models.cifar10 import Cifar10
from tts.models.edm import EDM
from tts.registry import REWARDS
from tts.rewards.classifier import GUIDED, Classifier


@pytest.fixture(autouse=True)
def _inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


def test_identity_is_of_the_weights_and_not_of_their_place(tmp_path: Path) -> None:
    path = tiny_rewards.guided_classifier(tmp_path / "g.pt", classes=5)
    copy = Path(tmp_path / "copy.pt")
    copy.write_bytes(path.read_bytes())
    other = tiny_rewards.guided_classifier(tmp_path / "other.pt", classes=5, seed=9)
    identities = [guided(file, classes=5).identity() for file in (path, copy, other)]
    assert identities[0] == identities[1] != identities[2]
    assert str(tmp_path) not in str(identities)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model": "resnet51"}, "unknown model 'resnet51'; did you mean 'resnet50'"),
        ({"weights": "IMAGENET1K_V3"}, "unknown weights 'IMAGENET1K_V3' of resnet50; did you mean 'IMAGENET1K_V"),
        ({"model": "vgg16", "weights": "IMAGENET1K_FEATURES"}, "unknown weights 'IMAGENET1K_FEATURES' of vgg16"),
        ({"weights": "/nowhere/at/all"}, "weights /nowhere/at/all: no such file"),
        ({"weights": "file:///w.pth"}, "weights file:///w.pth: is no https address"),
        ({"model": GUIDED, "weights": "s3://one/g.pt"}, "weights s3://one/g.pt: is no https address"),
        ({"weights": "/nowhere.pth"}, "weights /nowhere.pth: no such file"),
        ({"model": GUIDED, "weights": "/nowhere.pt"}, "weights /nowhere.pt: no such file"),
    ],
)
def test_what_is_not_there_is_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises((SettingError, WeightsError)) as error:
        Classifier(**values).check()
    assert message in str(error.value)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torchvisions = tiny_rewards.torchvision_classifier(tmp_path / "w.pth", "squeezenet1_1")
    guideds = tiny_rewards.guided_classifier(tmp_path / "g.pt", classes=5)
    with pytest.raises(WeightsError, match=r"g\.pt: is not of a resnet50 with 1000 classes: has None in place of"):
        Classifier(weights=str(guideds)).check()
    with pytest.raises(WeightsError, match=r"w\.pth: is not a classifier of guided diffusion for 64 pixels"):
        guided(torchvisions).check()
    with pytest.raises(WeightsError, match=r"knows 5 classes, but the setting 'classes' says 1000"):
        guided(guideds).check()
    state = torch.load(guideds, weights_only=True)
    torch.save({**state, "more": torch.zeros(1)}, tmp_path / "more.pt")
    with pytest.raises(WeightsError, match=r"has \(1,\) in place of None for 'more'"):
        guided(tmp_path / "more.pt", classes=5).check()


@pytest.mark.parametrize("content", [b"", b"<html>please log in</html>", b"PK\x03\x04 cut short"])
def test_damaged_files_are_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.pth").write_bytes(content)
    for settings in (Classifier(weights=str(tmp_path / "w.pth")), guided(tmp_path / "w.pth")):
        with pytest.raises(WeightsError, match=r"^weights [^\n]*w\.pth: damaged, or holds more than tensors"):
            settings.check()


def test_a_hostile_pickle_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    path = pickle_that_makes(tmp_path / "proof", tmp_path / "w.pth")
    for settings in (Classifier(weights=str(path)), guided(path)):
        with pytest.raises(WeightsError, match=r"w\.pth: damaged, or holds more than tensors.*system"):
            settings.check()
    assert not (tmp_path / "proof").exists()


def test_settings_need_no_torch(fresh_python: Callable[..., str]) -> None:
    code = (
        "import sys; from tts.registry import MODELS, REWARDS\n"
        "REWARDS.make('classifier')[1].suits(MODELS.make('edm')[1])\n"
        "print('torch' in sys.modules)"
    )
    assert fresh_python(code) == "False"


def test_models_of_as_many_classes_suit() -> None:
    Classifier().suits(EDM())
    Classifier(classes=10).suits(Cifar10())


def test_models_that_draw_other_classes_are_refused() -> None:
    with pytest.raises(SettingError, match=r"knows 1000 classes, and the model draws 10 classes"):
        REWARDS.make("classifier")[1].suits(Cifar10())
