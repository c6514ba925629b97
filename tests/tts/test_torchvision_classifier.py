"""Torchvision's classifiers as a reward: its networks, its files and its transforms."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny_rewards
import torch
import torchvision
from accelerate import init_empty_weights
from checks_of_rewards import REWARDS as CHECKS
from safetensors.torch import save_file
from tiny_classifiers import images
from torch import Tensor

from tts.errors import SettingError, WeightsError
from tts.networks import torchvision_classifier
from tts.rewards.classifier import GUIDED, Classifier


@pytest.fixture(autouse=True)
def _inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


FAMILIES = (
    *("alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet", "inception_v3", "maxvit_t"),
    *("mnasnet0_5", "mobilenet_v2", "regnet_y_400mf", "resnet18", "shufflenet_v2_x0_5", "squeezenet1_0", "swin_t"),
    *("swin_v2_t", "vgg11_bn", "vit_b_32"),
)

OLD_NAMES = {
    r"(denselayer\d+\.(?:norm|conv))([12])": r"\1.\2",
    r"(layer_\d+\.mlp)\.0": r"\1.linear_1",
    r"(layer_\d+\.mlp)\.3": r"\1.linear_2",
}


def first_form(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights in the form of torchvision's oldest files: without counters, and under former names."""
    kept = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    for present, old in OLD_NAMES.items():
        kept = {re.sub(present, old, name): value for name, value in kept.items()}
    return kept


def random_state(model: str) -> dict[str, Tensor]:
    """Weights whose normalisations have seen images, so that outputs depend on inputs."""
    torch.manual_seed(0)
    arguments = {"init_weights": False} if model == "googlenet" else {}
    network = torchvision.models.get_model(model, weights=None, **arguments)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the mean over all batches, here one
    network(torch.randn(4, 3, 96, 96))
    return dict(network.state_dict())


@pytest.mark.slow
@pytest.mark.parametrize("model", ["squeezenet1_1", "mobilenet_v3_small", "googlenet", "mnasnet0_5", "densenet121"])
def test_a_file_is_used_as_torchvision_uses_its_published_one(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oracle is torchvision's own code, from published weights to a network and its preprocessing."""
    whole, pictures, wanted = random_state(model), images(2, 64), [3, 999]
    state = first_form(whole)
    torch.save(state, tmp_path / "w.pth")
    published = OrderedDict(state)
    published._metadata = {"": {"version": 2}}  # type: ignore[attr-defined]
    monkeypatch.setattr("torchvision.models._api.WeightsEnum.get_state_dict", lambda *_, **__: published)
    entry = torchvision.models.get_model_weights(model).DEFAULT  # type: ignore[attr-defined]
    network = torchvision.models.get_model(model, weights=entry).eval()
    logits = network(entry.transforms()(pictures)).double()
    assert logits.std(dim=1).min() > 0.05
    assert (logits[0] - logits[1]).abs().max() > 0.01
    expected = logits.softmax(1)[[0, 1], wanted].tolist()
    found = Classifier(model=model, weights=str(tmp_path / "w.pth")).load().score(pictures, wanted)
    assert found == CHECKS["torchvision"].near(expected)


@pytest.mark.slow
@pytest.mark.parametrize("classes", [1000, 4])
@pytest.mark.parametrize("model", FAMILIES)
def test_networks_of_every_family_hold_weights_in_both_forms(model: str, classes: int) -> None:
    entry = torchvision_classifier.entries(model)["DEFAULT"]
    arguments = {"init_weights": False} if model in ("googlenet", "inception_v3") else {}
    with init_empty_weights():
        state = torchvision.models.get_model(model, weights=None, num_classes=classes, **arguments).state_dict()
    state = {name: torch.empty(()).expand(value.shape) for name, value in state.items()}
    for form in (state, first_form(state)):
        held = torchvision_classifier.network(model, classes, entry, form).state_dict()
        assert {name: value.shape for name, value in held.items()} == {name: v.shape for name, v in state.items()}
        assert not any(value.is_meta for value in held.values())


def test_transformers_are_built_for_the_size_of_their_weights() -> None:
    entry = torchvision_classifier.entries("vit_b_16")["IMAGENET1K_SWAG_E2E_V1"]
    with init_empty_weights():
        state = torchvision.models.vit_b_16(image_size=384).state_dict()
    state = {name: torch.empty(()).expand(value.shape) for name, value in state.items()}
    network = torchvision_classifier.network("vit_b_16", 1000, entry, state)
    assert (network.image_size, entry.transforms().crop_size) == (384, [384])
    with pytest.raises(WeightsError, match=r"has \(1, 577, 768\) in place of \(1, 197, 768\) for 'encoder\.pos_emb"):
        torchvision_classifier.network("vit_b_16", 1000, torchvision_classifier.entries("vit_b_16")["DEFAULT"], state)


def test_every_published_file_tells_its_digest() -> None:
    for model in torchvision_classifier.models():
        entries = torchvision_classifier.entries(model)
        assert "DEFAULT" in entries
        for entry in entries.values():
            assert len(torchvision_classifier.digits(entry)) >= 8
            assert torchvision_classifier.entry_of(model, torchvision_classifier.digits(entry) + "0" * 54) is entry


@pytest.mark.slow
def test_a_published_file_is_known_by_its_digest_wherever_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own preprocessing is used, and its identity equals that of the published name."""
    path, pictures = tiny_rewards.torchvision_classifier(tmp_path / "w.pth", "mobilenet_v2"), images(2, 64)
    monkeypatch.setattr("tts.files.downloads.fetch", lambda *_: path)
    named = {name: Classifier(model="mobilenet_v2", weights=f"IMAGENET1K_{name}") for name in ("V1", "V2")}
    values = {name: settings.load().score(pictures, [0, 1]) for name, settings in named.items()}
    own = Classifier(model="mobilenet_v2", weights=str(path))
    assert own.load().score(pictures, [0, 1]) == values["V2"] != values["V1"]
    assert own.identity() == named["V2"].identity() != named["V1"].identity()
    monkeypatch.setattr("tts.rewards.classifier.sha256", lambda *_: "b0353104" + "0" * 56)
    assert own.load().score(pictures, [0, 1]) == values["V1"]
    assert own.identity() == named["V1"].identity()


def test_every_published_weights_have_their_own_transforms() -> None:
    """They are found by name and by digest, for every enum of every model that has a classifier."""
    count, wrong = 0, []
    for model in torchvision_classifier.models():
        for entry in torchvision.models.get_model_weights(model):  # type: ignore[attr-defined]
            if not entry.meta["categories"]:
                continue
            count += 1
            digits = torchvision_classifier.digits(entry)
            found = [Classifier(model=model, weights=entry.name)._named()]
            found += [torchvision_classifier.entry_of(model, digits.ljust(64, "0"))] if digits else []
            wrong += [f"{model} {entry.name}"] * any(
                vars(one.transforms()) != vars(entry.transforms()) for one in found
            )
    assert count > 100
    assert len(wrong) == CHECKS["torchvision enums"].abs, wrong


def test_an_unknown_file_says_how_its_images_are_prepared_and_can_be_told(tmp_path: Path) -> None:
    path, pictures = tiny_rewards.torchvision_classifier(tmp_path / "w.pth", "mobilenet_v2"), images(1, 200)
    by_default = Classifier(model="mobilenet_v2", weights=str(path))
    [note] = by_default.notes([0])
    assert note.endswith("images are prepared as for IMAGENET1K_V2; set preprocessing to change that")
    told = Classifier(model="mobilenet_v2", weights=str(path), preprocessing="IMAGENET1K_V1")
    assert told.notes([0]) == []
    assert told.identity() == {**by_default.identity(), "preprocessing": "IMAGENET1K_V1"}
    assert told.load().score(pictures, [3]) != by_default.load().score(pictures, [3])
    with pytest.raises(SettingError, match=r"preprocessing = IMAGENET1K_V3: no published weights.*did you mean"):
        Classifier(model="mobilenet_v2", weights=str(path), preprocessing="IMAGENET1K_V3").check()
    with pytest.raises(SettingError, match=r"guided-diffusion-64 prepares images in its own way"):
        Classifier(model=GUIDED, weights=str(path), preprocessing="IMAGENET1K_V1").check()


def test_probabilities_are_of_a_safetensors_file_too(tmp_path: Path) -> None:
    path = tiny_rewards.torchvision_classifier(tmp_path / "w.pth", "squeezenet1_1", classes=7)
    save_file(torch.load(path, weights_only=True), other := tmp_path / "w.safetensors")
    values = [
        Classifier(model="squeezenet1_1", weights=str(file), classes=7).load().score(images(2, 32), [6, 0])
        for file in (path, other)
    ]
    assert values[0] == values[1]


def test_published_weights_are_fetched_by_address_and_digest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path, asked = tiny_rewards.torchvision_classifier(tmp_path / "w.pth", "squeezenet1_1"), []
    monkeypatch.setattr("tts.files.downloads.fetch", lambda *arguments: asked.append(arguments) or path)
    Classifier(model="squeezenet1_1").check()
    assert asked == [("https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth", "weights", "b8a52dc0")]
