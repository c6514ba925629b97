"""Guided diffusion's classifier as a reward."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny_rewards
import torch
from guided_form import published
from tiny_classifiers import guided, images
from torch.nn import functional as F

from tts.errors import WeightsError
from tts.rewards.classifier import GUIDED, GUIDED_WEIGHTS, Classifier


@pytest.fixture(autouse=True)
def _inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


def test_guided_diffusion_sees_images_in_minus_one_to_one(tmp_path: Path) -> None:
    """The study's code gave it images in [0, 1]."""
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


def test_a_value_depends_on_its_own_row_only(tmp_path: Path) -> None:
    path, pictures = tiny_rewards.guided_classifier(tmp_path / "g.pt", classes=5), images(5, 64)
    reward = guided(path, classes=5).load()
    together = reward.score(pictures, [0, 1, 2, 3, 4])
    assert reward.score(pictures.flip(0), [4, 3, 2, 1, 0])[::-1] == together
    assert len(set(together)) == 5


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


def test_guided_diffusions_weights_have_a_public_address(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path, asked = tiny_rewards.guided_classifier(tmp_path / "g.pt", classes=5), []
    monkeypatch.setattr("tts.files.downloads.fetch", lambda *arguments: asked.append(arguments) or path)
    for weights in ("DEFAULT", "https://one.org/other.pt"):
        Classifier(model=GUIDED, weights=weights, classes=5).check()
    assert asked == [(GUIDED_WEIGHTS, "weights", None), ("https://one.org/other.pt", "weights", None)]
