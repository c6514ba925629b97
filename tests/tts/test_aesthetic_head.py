"""Heads of the aesthetic predictor in their published forms."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny_rewards
import torch
from checks_of_rewards import REWARDS as CHECKS
from torch import Tensor, nn

from tts.errors import SettingError, WeightsError
from tts.files.digests import sha256
from tts.rewards import aesthetic_head
from tts.rewards.aesthetic import Aesthetic
from tts.rewards.aesthetic_head import KNOWN, activation_of, read

WIDTH = 768
INNER = (1024, 128, 64, 16)
"""Width of the published heads on ViT-L/14."""


@pytest.fixture(autouse=True)
def _inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


def published_module(relu: bool) -> nn.Sequential:
    """The published program's own layers; a dropout follows each of the first layers, but none the last two."""
    layers: list[nn.Module] = []
    for wide, out, drop in ((WIDTH, 1024, 0.2), (1024, 128, 0.2), (128, 64, 0.1), (64, 16, 0)):
        layers += [nn.Linear(wide, out), *[nn.ReLU()] * relu, *[nn.Dropout(drop)] * bool(drop)]
    return nn.Sequential(*layers, nn.Linear(16, 1)).eval()


def published_file(path: Path, relu: bool) -> tuple[Path, nn.Sequential]:
    torch.manual_seed(3)
    module = published_module(relu)
    torch.save({f"layers.{name}": value for name, value in module.state_dict().items()}, path)
    return path, module


def embeddings() -> Tensor:
    return torch.nn.functional.normalize(torch.randn(6, WIDTH, generator=torch.Generator().manual_seed(0)), dim=1)


@pytest.mark.parametrize("activation", ["linear", "relu"])
def test_a_published_head_is_the_published_module(
    activation: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The digest tells which of the two heads it is; random weights stand for the published ones."""
    path, module = published_file(tmp_path / "any name.pth", activation == "relu")
    monkeypatch.setitem(KNOWN, sha256(path, "head"), activation)
    head = read(path, "h", activation_of(path, "h", None))
    expected, found = module(embeddings())[:, 0].tolist(), head(embeddings())[:, 0].tolist()
    assert found == CHECKS["aesthetic heads"].near(expected)
    other = read(path, "h", "linear" if activation == "relu" else "relu")
    assert other(embeddings())[:, 0].tolist() != CHECKS["aesthetic heads"].near(expected)


def test_the_known_digests_are_those_of_the_published_files() -> None:
    assert sorted(KNOWN.values()) == ["linear", "linear", "relu"]
    assert KNOWN[aesthetic_head.PUBLISHED_SHA256] == "linear"


def test_an_unknown_head_must_be_told(tmp_path: Path) -> None:
    path = tiny_rewards.aesthetic_head(tmp_path / "reluMSE.pth")
    clip = str(tiny_rewards.clip_folder(tmp_path / "clip"))
    with pytest.raises(SettingError, match=r"set activation to linear or relu") as error:
        Aesthetic(model=clip, head=str(path)).check()
    assert "\n" not in str(error.value)
    linear, relu = (Aesthetic(model=clip, head=str(path), activation=kind) for kind in ("linear", "relu"))  # type: ignore[arg-type]
    assert "activation" not in linear.identity()  # as in runs from before there was a choice
    assert relu.identity() == {**linear.identity(), "activation": "relu"}
    picture = torch.randint(0, 256, (1, 3, 16, 16), dtype=torch.uint8)
    assert linear.load().score(picture, ["a"]) != relu.load().score(picture, ["a"])


def test_a_head_of_one_layer_needs_no_word(tmp_path: Path) -> None:
    """LAION's first predictor has only a weight and a bias."""
    torch.manual_seed(0)
    layer = nn.Linear(WIDTH, 1)
    torch.save(layer.state_dict(), tmp_path / "sa_0_4_vit_l_14_linear.pth")
    path = tmp_path / "sa_0_4_vit_l_14_linear.pth"
    head = read(path, "h", activation_of(path, "h", None))
    assert torch.equal(head(embeddings()), layer(embeddings()))


@pytest.mark.parametrize(
    ("places", "inner", "change", "message"),
    [
        ((0, 2), (24,), {"norm.weight": torch.ones(24)}, "'norm.weight'"),
        ((0, 2), (24,), {"layers.2.weight": torch.ones(1, 8)}, "do not form a chain"),
        ((0,), (), {"layers.0.weight": torch.ones(5, 32)}, "do not form a chain that ends in one value"),
    ],
)
def test_what_is_no_chain_of_layers_is_refused(
    places: tuple[int, ...], inner: tuple[int, ...], change: dict[str, Tensor], message: str, tmp_path: Path
) -> None:
    path = tiny_rewards.aesthetic_head(tmp_path / "h.pth", places=places, inner=inner)
    torch.save({**torch.load(path, weights_only=True), **change}, path)
    with pytest.raises(WeightsError, match=message):
        read(path, "h", "relu")
