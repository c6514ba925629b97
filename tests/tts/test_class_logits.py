"""CLIP's and DINOv2's class logits as rewards, against open_clip's zero-shot classifier and transformers' DINOv2."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import open_clip
import pytest
import tiny_rewards
import torch
from smooth_images import images, pillow
from torchvision.transforms import v2

from tts import imagenet
from tts.errors import SettingError, WeightsError
from tts.quiet import quiet
from tts.registry import MODELS, REWARDS
from tts.rewards.class_logits import of_classes
from tts.rewards.clip_classes import ClipClasses
from tts.rewards.dino_classes import DinoClasses

NAMES = ("tench", "goldfish", "hen")


@pytest.fixture(autouse=True)
def _inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


def test_clip_s_logits_are_open_clip_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imagenet, "names", lambda: NAMES)
    folder = str(tiny_rewards.clip_folder(tmp_path / "clip"))
    given, conditions = images(3, 3, 20, 24), [2, 0, 1]
    with quiet():
        model, _, prepare = open_clip.create_model_and_transforms(f"local-dir:{folder}")
        tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    texts = model.eval().encode_text(tokenizer([f"a photo of a {name}." for name in NAMES]), normalize=True)
    seen = model.encode_image(torch.stack([prepare(pillow(each)) for each in given]), normalize=True)
    logits = model.logit_scale.exp() * seen @ texts.T
    expected = logits[torch.arange(3), torch.tensor(conditions)]
    found = ClipClasses(model=folder).load().score(given, conditions)
    assert found == pytest.approx(expected.tolist(), abs=2e-3)
    sure = ClipClasses(model=folder, value="probability").load().score(given, conditions)
    assert sure == pytest.approx(logits.softmax(1)[torch.arange(3), torch.tensor(conditions)].tolist(), abs=1e-3)
    alone = ClipClasses(model=folder).load().score(given[1:2], [0])
    assert alone == found[1:2]  # no row depends on the rows beside it


@pytest.mark.slow
def test_dino_s_logits_are_transformers_s(tmp_path: Path) -> None:
    settings, network = tiny_rewards.dino_classes(tmp_path)
    reward = DinoClasses(**settings)
    reward.check()
    given, conditions = images(2, 3, 64, 80), [7, 999]
    prepare = v2.Compose(
        [
            v2.Resize(256, v2.InterpolationMode.BICUBIC),
            v2.CenterCrop(224),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    logits = network(torch.stack([prepare(pillow(each)) for each in given])).logits
    found: Any = reward.load().score(given, conditions)
    assert found == pytest.approx([float(logits[0, 7]), float(logits[1, 999])], abs=0.02)
    assert abs(found[0] - found[1]) > 0.05
    assert set(reward.identity()) == {"model", "weights", "head", "value"}
    with pytest.raises(WeightsError, match="is not a linear head"):
        DinoClasses(**{**settings, "head": settings["weights"]}).check()


def test_a_row_s_own_class_is_looked_up() -> None:
    logits = torch.tensor([[0.0, 1.0], [2.0, 2.0]])
    assert of_classes(logits, [1, 0], probability=False) == [1.0, 2.0]
    assert of_classes(logits, [1, 0], probability=True) == pytest.approx([1 / (1 + 2.718281828**-1), 0.5])


def test_other_classes_and_templates_are_refused() -> None:
    for name in ("clip_classes", "dino_classes"):
        with pytest.raises(SettingError, match="knows ImageNet's classes only"):
            REWARDS.make(name)[1].suits(MODELS.make("cifar10")[1])
        REWARDS.make(name)[1].suits(MODELS.make("edm")[1])
    for template in ("a photo", "{name} {other}", "{}"):
        with pytest.raises(SettingError, match=r"needs \{name\} once"):
            REWARDS.make({"name": "clip_classes", "template": template})
