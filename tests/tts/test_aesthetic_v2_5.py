"""Aesthetic predictor v2.5 against transformers' SigLIP and the head's published layers."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import tiny_judges
import torch
from PIL import Image
from torch import Tensor, nn

from tts.errors import WeightsError
from tts.files import tensors
from tts.registry import REWARDS
from tts.rewards import aesthetic_v2_5

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return tiny_judges.aesthetic_v2_5(tmp_path_factory.mktemp("aesthetic"))


def make(settings: dict[str, Any], **changes: Any) -> Any:
    return REWARDS.make({"name": "aesthetic_v2_5", **settings, **changes})[1]


def images() -> Tensor:
    return torch.randint(0, 256, (2, 3, 40, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@torch.inference_mode()
def test_it_is_the_heads_value_of_siglips_embedding_of_length_1(settings: dict[str, Any]) -> None:
    from transformers import SiglipImageProcessor, SiglipVisionModel

    reward = make(settings)
    reward.check()
    network = SiglipVisionModel.from_pretrained(settings["id"])
    pillow = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images()]
    pixels = SiglipImageProcessor.from_pretrained(settings["id"])(images=pillow, return_tensors="pt")["pixel_values"]
    embeddings = network(pixel_values=pixels).pooler_output
    embeddings = embeddings / embeddings.norm(dim=-1, keepdim=True)
    widths = (24, 16, 12, 8, 4, 1)
    layers = [part for wide, out in pairwise(widths) for part in (nn.Linear(wide, out), nn.Dropout(0.5))]
    published = nn.ModuleDict({"scoring_head": nn.Sequential(*layers[:-1])}).eval()
    published.load_state_dict(tensors.read(Path(settings["head"]), "head"))
    expected = published["scoring_head"](embeddings)[:, 0].tolist()
    assert reward.load("cpu", str).score(images(), ["", ""]) == pytest.approx(expected, abs=2e-3)


def test_what_does_not_fit_is_refused(settings: dict[str, Any], tmp_path: Path) -> None:
    state = tensors.read(Path(settings["head"]), "head")
    torch.save({name.replace("scoring_head", "layers"): each for name, each in state.items()}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"has no linear layers 'scoring_head\.0\.weight'"):
        make(settings, head=str(tmp_path / "other.pth")).check()
    state["scoring_head.0.weight"] = torch.zeros(16, 30)
    torch.save(state, tmp_path / "wide.pth")
    with pytest.raises(WeightsError, match=r"takes embeddings of 30 numbers, but those of .* have 24; set id"):
        make(settings, head=str(tmp_path / "wide.pth")).load()
    for file in Path(settings["id"]).iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = tmp_path / "preprocessor_config.json"
    config.write_text(config.read_text().replace('"do_resize": true', '"do_resize": false'))
    with pytest.raises(WeightsError, match="'do_resize' is False, and only True is supported"):
        make(settings, id=str(tmp_path)).check()


def test_its_identity_is_of_its_files(settings: dict[str, Any]) -> None:
    found = make(settings).identity()
    assert set(found["id"]) == {"config.json", "preprocessor_config.json", "model.safetensors"}
    assert len(found["head"]) == len(aesthetic_v2_5.PUBLISHED_SHA256) == 64
