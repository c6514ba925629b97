"""The classifiers of ImageNet as a reward: torchvision's and guided diffusion's."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny_rewards
import torch
import torchvision
from accelerate import init_empty_weights
from checks_of_rewards import REWARDS as CHECKS
from guided_form import published
from hostile import pickle_that_makes
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from tts.errors import SettingError, WeightsError
from tts.models.cifar10 import Cifar10
from tts.models.edm import EDM
from tts.networks import torchvision_classifier
from tts.registry import REWARDS
from tts.rewards.classifier import GUIDED, GUIDED_WEIGHTS, Classifier


@pytest.fixture(autouse=True)
def _inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


def images(count: int, size: int, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=draw)


def guided(path: Path, **values: Any) -> Classifier:
    return Classifier(model=GUIDED, weights=str(path), **values)


def test_guided_diffusion_sees_images_in_minus_one_to_one(tmp_path: Path) -> None:
    """The study gave it [0, 1]."""
    path, pictures = tiny_rewards.guided_classifier(tmp_path / "g.pt", classes=5), images(3, 64)
    state = torch.load(path, weights_only=True)
    expected = published(state, pictures.double() / 127.5 - 1, 0.0, 1).softmax(1)
    found = guided(path, classes=5).load().score(pictures, [4, 0, 2])
    assert found == pytest.approx([float(expected[k, c]) for k, c in enumerate((4, 0, 2))], abs=1e-5)


def test_probabilities_of_all_classes_add_up_to_one(tmp_path: Path) -> None:
    path = tiny_rewards.guided_classifier(tmp_path / "g.pt", classes=6)
    values = guided(path, classes=6).load().score(images(1, 32).expand(6, -1, -1, -1), list(range(6)))
    assert sum(values) == pytest.approx(1)  # type: ignore[arg-type]


def test_other_sizes_are_resized_for_guided_diffusion(tmp_path: Path) -> None:
    path, blocks = tiny_rewards.guided_classifier(tmp_path / "g.pt", classes=5), images(2, 16)
    large = blocks.repeat_interleave(16, 2).repeat_interleave(16, 3)  # 4x4 pixels of one colour become one of 64x64
    reward = guided(path, classes=5).load()
    shrunk = F.interpolate(large.float(), (64, 64), mode="bilinear", antialias=True).round().to(torch.uint8)
    assert reward.score(large, [1, 2]) == pytest.approx(reward.score(shrunk, [1, 2]), abs=1e-3)
    assert all(value is not None and 0 < value < 1 for value in reward.score(blocks, [1, 2]))


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_lower_precisions_come_near(tmp_path: Path, precision: str) -> None:
    path, pictures = tiny_rewards.guided_classifier(tmp_path / "g.pt", classes=5), images(3, 64)
    full, low = (guided(path, classes=5, precision=kind).load() for kind in ("fp32", precision))
    values = low.score(pictures, [0, 1, 2])
    assert values == pytest.approx(full.score(pictures, [0, 1, 2]), abs=0.05)
    assert values != full.score(pictures, [0, 1, 2])


# ---- torchvision's networks -----------------------------------------------------------------------------------------

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
    """Weights as torchvision's oldest files have them: without counters, and under names since changed."""
    kept = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    for present, old in OLD_NAMES.items():
        kept = {re.sub(present, old, name): value for name, value in kept.items()}
    return kept


def random_state(model: str) -> dict[str, Tensor]:
    """Weights whose normalisations have seen images, so that what comes out depends on what goes in."""
    torch.manual_seed(0)
    arguments = {"init_weights": False} if model == "googlenet" else {}
    network = torchvision.models.get_model(model, weights=None, **arguments)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the mean of all, which is one batch
    network(torch.randn(4, 3, 96, 96))
    return dict(network.state_dict())


@pytest.mark.slow
@pytest.mark.parametrize("model", ["squeezenet1_1", "mobilenet_v3_small", "googlenet", "mnasnet0_5", "densenet121"])
def test_a_file_is_used_as_torchvision_uses_its_published_one(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oracle is torchvision's own way from published weights to a network and its preprocessing."""
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
    """Its own preprocessing is used, and it is the same to a run's identity as its name."""
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
    """By name and by digest, of every enum of every model that has a classifier."""
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


# ---- weights --------------------------------------------------------------------------------------------------------


def test_a_value_depends_on_its_own_row_only(tmp_path: Path) -> None:
    path, pictures = tiny_rewards.guided_classifier(tmp_path / "g.pt", classes=5), images(5, 64)
    reward = guided(path, classes=5).load()
    together = reward.score(pictures, [0, 1, 2, 3, 4])
    assert reward.score(pictures.flip(0), [4, 3, 2, 1, 0])[::-1] == together
    assert len(set(together)) == 5


def test_identity_is_of_the_weights_and_not_of_their_place(tmp_path: Path) -> None:
    path = tiny_rewards.guided_classifier(tmp_path / "g.pt", classes=5)
    copy = Path(tmp_path / "copy.pt")
    copy.write_bytes(path.read_bytes())
    other = tiny_rewards.guided_classifier(tmp_path / "other.pt", classes=5, seed=9)
    identities = [guided(file, classes=5).identity() for file in (path, copy, other)]
    assert identities[0] == identities[1] != identities[2]
    assert str(tmp_path) not in str(identities)


def test_published_weights_are_fetched_by_address_and_digest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path, asked = tiny_rewards.torchvision_classifier(tmp_path / "w.pth", "squeezenet1_1"), []
    monkeypatch.setattr("tts.files.downloads.fetch", lambda *arguments: asked.append(arguments) or path)
    Classifier(model="squeezenet1_1").check()
    assert asked == [("https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth", "weights", "b8a52dc0")]


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


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("input_blocks.0.0.weight", None, "no 'input_blocks.0.0.weight'"),
        ("input_blocks.0.0.weight", (), "'input_blocks.0.0.weight' has the shape ()"),
        ("input_blocks.0.0.weight", (48, 3, 3, 3), "(48, 3, 3, 3), which 32 does not divide"),
        ("input_blocks.7.0.out_layers.3.weight", (32, 64, 3, 3), "(32, 64, 3, 3), which 64 does not divide"),
        ("input_blocks.7.0.out_layers.3.weight", None, "no 'input_blocks.7.0.out_layers.3.weight'"),
        ("out.2.positional_embedding", (65,), "'out.2.positional_embedding' has the shape (65,)"),
        ("out.2.positional_embedding", (64, 0), "'out.2.positional_embedding' has the shape (64, 0)"),
        ("out.2.positional_embedding", (64, 90), "'out.2.positional_embedding' has 90 positions"),
        ("out.2.positional_embedding", (64, 256**2 + 1), "'out.2.positional_embedding' has 65537 positions"),
        ("out.2.positional_embedding", (64, 2), "its 7 'input_blocks' are too few for 7 sizes"),
        ("out.2.positional_embedding", (32, 65), "has (32, 65) in place of (64, 65) for 'out.2.positional_embedding'"),
        ("out.2.c_proj.weight", (), "'out.2.c_proj.weight' has the shape ()"),
        ("middle_block.1.qkv.bias", None, "has None in place of (192,) for 'middle_block.1.qkv.bias'"),
    ],
)
def test_what_does_not_fit_guided_diffusion_is_named(
    tmp_path: Path, name: str, shape: tuple[int, ...] | None, message: str
) -> None:
    state = tiny_rewards.guided_state(5, 32, (1, 2, 2, 2), 1, (16, 8), seed=0)
    others = {key: value for key, value in state.items() if key != name}
    torch.save(others if shape is None else others | {name: torch.zeros(shape)}, tmp_path / "g.pt")
    for use in (Classifier.check, Classifier.load):
        with pytest.raises(
            WeightsError, match=r"^weights [^\n]*g\.pt: is not a classifier of guided diffusion"
        ) as error:
            use(guided(tmp_path / "g.pt", classes=5))
        assert message in str(error.value)


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


def test_guided_diffusions_weights_have_a_public_address(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path, asked = tiny_rewards.guided_classifier(tmp_path / "g.pt", classes=5), []
    monkeypatch.setattr("tts.files.downloads.fetch", lambda *arguments: asked.append(arguments) or path)
    for weights in ("DEFAULT", "https://one.org/other.pt"):
        Classifier(model=GUIDED, weights=weights, classes=5).check()
    assert asked == [(GUIDED_WEIGHTS, "weights", None), ("https://one.org/other.pt", "weights", None)]


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
