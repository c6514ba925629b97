"""The classifiers of ImageNet: torchvision's, and guided diffusion's against its published computation."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny_rewards
import torch
from hostile import pickle_that_makes
from torch import Tensor
from torch.nn import functional as F

from tts.errors import SettingError, WeightsError
from tts.models.adm_classifier import ADMClassifier, shape_of
from tts.models.cifar10 import Cifar10
from tts.registry import REWARDS
from tts.rewards.classifier import GUIDED, Classifier
from tts.tensors import fill

FORMS: dict[str, tuple[int, tuple[int, ...], int, tuple[int, ...]]] = {
    "one block a level": (64, (1, 1, 1, 1), 1, (8,)),
    "attention at three sizes": (32, (2, 2, 2, 4), 2, (32, 16, 8)),
    "five levels": (64, (1, 1, 2, 2, 2), 1, (16, 4)),
}


@pytest.fixture(autouse=True)
def _inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


def published(w: dict[str, Tensor], x: Tensor, t: float, depth: int) -> Tensor:
    """Guided diffusion's classifier by functions of torch on its raw weights, in float64."""
    w = {name: value.double() for name, value in w.items()}

    def norm(x: Tensor, name: str) -> Tensor:
        return F.group_norm(x, 32, w[f"{name}.weight"], w[f"{name}.bias"], 1e-5)

    def conv(x: Tensor, name: str) -> Tensor:
        weight = w[f"{name}.weight"]
        return F.conv2d(x, weight, w[f"{name}.bias"], padding=weight.shape[-1] // 2)

    def block(x: Tensor, name: str, down: bool) -> Tensor:
        h = F.silu(norm(x, f"{name}.in_layers.0"))
        if down:
            h, x = F.avg_pool2d(h, 2), F.avg_pool2d(x, 2)
        h = conv(h, f"{name}.in_layers.2")
        scale, shift = F.linear(F.silu(emb), w[f"{name}.emb_layers.1.weight"], w[f"{name}.emb_layers.1.bias"]).chunk(
            2, 1
        )
        h = norm(h, f"{name}.out_layers.0") * (1 + scale[..., None, None]) + shift[..., None, None]
        h = conv(F.silu(h), f"{name}.out_layers.3")
        return h + (conv(x, f"{name}.skip_connection") if f"{name}.skip_connection.weight" in w else x)

    def heads(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        weights = torch.einsum("bct,bcs->bts", q, k).div(math.sqrt(q.shape[1])).softmax(-1)
        return torch.einsum("bts,bcs->bct", weights, v)

    def attention(x: Tensor, name: str) -> Tensor:
        flat = x.flatten(2)
        qkv = F.conv1d(norm(flat, f"{name}.norm"), w[f"{name}.qkv.weight"], w[f"{name}.qkv.bias"])
        mixed = torch.cat([heads(*part.chunk(3, 1)) for part in qkv.split(192, 1)], 1)  # a head's q, k, v side by side
        return x + F.conv1d(mixed, w[f"{name}.proj_out.weight"], w[f"{name}.proj_out.bias"]).view_as(x)

    width = len(w["input_blocks.0.0.weight"])
    angles = t * torch.exp(-math.log(10000) * torch.arange(width // 2).double() / (width // 2))
    emb = torch.cat([angles.cos(), angles.sin()]).expand(len(x), -1)
    emb = F.linear(emb, w["time_embed.0.weight"], w["time_embed.0.bias"])
    emb = F.linear(F.silu(emb), w["time_embed.2.weight"], w["time_embed.2.bias"])
    x = conv(x.double(), "input_blocks.0.0")
    count = len({name.split(".")[1] for name in w if name.startswith("input_blocks.")})
    for place in range(1, count):
        x = block(x, f"input_blocks.{place}.0", down=place % (depth + 1) == 0)
        if f"input_blocks.{place}.1.norm.weight" in w:
            x = attention(x, f"input_blocks.{place}.1")
    x = block(attention(block(x, "middle_block.0", False), "middle_block.1"), "middle_block.2", False)
    x = F.silu(norm(x, "out.0")).flatten(2)
    x = torch.cat([x.mean(-1, keepdim=True), x], -1) + w["out.2.positional_embedding"]
    q, k, v = F.conv1d(x, w["out.2.qkv_proj.weight"], w["out.2.qkv_proj.bias"]).chunk(3, 1)
    pooled = torch.cat([heads(*parts) for parts in zip(q.split(64, 1), k.split(64, 1), v.split(64, 1), strict=True)], 1)
    return F.conv1d(pooled, w["out.2.c_proj.weight"], w["out.2.c_proj.bias"])[:, :, 0]


@pytest.mark.parametrize("time", [0.0, 437.0])
@pytest.mark.parametrize("form", FORMS)
def test_guided_diffusions_classifier_is_the_published_network(form: str, time: float) -> None:
    width, mults, depth, attends = FORMS[form]
    state = tiny_rewards.guided_state(7, width, mults, depth, attends, seed=1)
    network = ADMClassifier(shape_of(state, 64), 64)
    fill(network, state, "test")
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    expected = published(state, x, time, depth)
    assert expected.std() > 0.1
    found = network(x, torch.full((2,), time))
    assert (found - expected).abs().max() < 1e-5


def test_the_published_size() -> None:
    """Width 128, four blocks a level, attention at 32, 16 and 8."""
    state = tiny_rewards.guided_state(1000, 128, (1, 2, 3, 4), 4, (32, 16, 8), seed=0)
    shape = shape_of(state, 64)
    assert (shape.widths, shape.blocks, shape.attends) == ((128, 256, 384, 512), 4, (False, True, True, True))
    with torch.device("meta"):
        network = ADMClassifier(shape, 64)
    assert {name: tuple(value.shape) for name, value in network.state_dict().items()} == {
        name: tuple(value.shape) for name, value in state.items()
    }


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


@pytest.mark.parametrize("model", ["squeezenet1_1", "mobilenet_v3_small"])
def test_torchvisions_classifier_is_its_own_network_and_preprocessing(model: str, tmp_path: Path) -> None:
    from torchvision.models import get_model, get_model_weights

    path, pictures = tiny_rewards.torchvision_classifier(tmp_path / "w.pth", model), images(2, 64)
    network = get_model(model, weights=None)
    network.load_state_dict(torch.load(path, weights_only=True))
    prepared = get_model_weights(model).DEFAULT.transforms(antialias=True)(pictures)  # type: ignore[attr-defined]
    expected = network.eval()(prepared).softmax(1)
    found = Classifier(model=model, weights=str(path)).load().score(pictures, [3, 999])
    assert found == pytest.approx([float(expected[0, 3]), float(expected[1, 999])], abs=1e-6)


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
    monkeypatch.setattr("tts.downloads.fetch", lambda *arguments: asked.append(arguments) or path)
    Classifier(model="squeezenet1_1").check()
    assert asked == [("https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth", "weights", "b8a52dc0")]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model": "resnet51"}, "unknown model 'resnet51'; did you mean 'resnet50'"),
        ({"weights": "IMAGENET1K_V3"}, "unknown weights 'IMAGENET1K_V3' of resnet50; did you mean 'IMAGENET1K_V"),
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
    with pytest.raises(WeightsError, match=r"w\.pth: is no classifier of guided diffusion for 64 pixels"):
        guided(torchvisions).check()
    with pytest.raises(WeightsError, match=r"knows 5 classes, but the setting 'classes' says 1000"):
        guided(guideds).check()
    state = torch.load(guideds, weights_only=True)
    torch.save({**state, "more": torch.zeros(1)}, tmp_path / "more.pt")
    with pytest.raises(WeightsError, match=r"has \(1,\) in place of None for 'more'"):
        guided(tmp_path / "more.pt", classes=5).check()


def test_a_hostile_pickle_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    path = pickle_that_makes(tmp_path / "proof", tmp_path / "w.pth")
    for settings in (Classifier(weights=str(path)), guided(path)):
        with pytest.raises(WeightsError, match=r"w\.pth: damaged, or holds more than tensors.*system"):
            settings.check()
    assert not (tmp_path / "proof").exists()


def test_models_that_draw_other_classes_are_refused() -> None:
    with pytest.raises(SettingError, match=r"knows 1000 classes, and the model draws 10 classes"):
        REWARDS.make("classifier")[1].suits(Cifar10())
