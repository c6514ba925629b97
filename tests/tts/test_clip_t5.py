"""VQAScore by CLIP-FlanT5 against the published formula, computed from the files' own tensors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_judges
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from tts.errors import WeightsError
from tts.files import tensors
from tts.registry import REWARDS
from tts.rewards.vqascore_t5 import padded

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return tiny_judges.clip_t5(tmp_path_factory.mktemp("clip_t5"))


def make(settings: dict[str, Any], **changes: Any) -> Any:
    return REWARDS.make({"name": "vqascore_t5", **settings, **changes})[1]


def image(height: int = 40, width: int = 30) -> Tensor:
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@torch.inference_mode()
def test_it_is_the_exponential_of_the_mean_log_probability(settings: dict[str, Any]) -> None:
    """The authors' form: exp(-cross entropy) over the answer's tokens and end token, with the image among the words."""
    from torch.nn.functional import cross_entropy, gelu

    reward = make(settings)
    reward.check()
    ready = reward.load("cpu", str)
    state = {name: each for file in reward._files() for name, each in tensors.read(file, "id").items()}
    pixels = ready.prepare(padded(image(), tiny_judges.MEAN)[None])
    patches = ready.network.tower(pixel_values=pixels, output_hidden_states=True).hidden_states[-2][:, 1:]
    inner = gelu(patches @ state["mm_projector.0.weight"].T + state["mm_projector.0.bias"])
    seen = inner @ state["mm_projector.2.weight"].T + state["mm_projector.2.bias"]
    question = 'Does this figure show "a cat"? Please answer yes or no.'
    parts = [ready.tokenizer(text)["input_ids"] for text in ("a talk of two USER: ", f"\n{question} ASSISTANT: ")]
    assert all(part[-1] == ready.tokenizer.eos_token_id for part in parts)
    before, after = (state["shared.weight"][part][None] for part in parts)
    answer = torch.tensor([ready.tokenizer("Yes")["input_ids"]])
    outputs = ready.network.t5(inputs_embeds=torch.cat([before, seen, after], dim=1), labels=answer)
    expected = float((-cross_entropy(outputs.logits[0], answer[0])).exp())
    assert ready.score(image()[None], ["a cat"]) == [pytest.approx(expected, rel=1e-5)]
    assert float((-outputs.loss).exp()) == pytest.approx(expected, rel=1e-5)


def test_an_image_is_padded_to_a_square_of_the_mean_colour() -> None:
    """Pillow pastes the reference image."""
    picture = image()
    pillow = Image.fromarray(picture.permute(1, 2, 0).numpy())
    square = Image.new("RGB", (40, 40), tuple(int(each * 255) for each in tiny_judges.MEAN))
    square.paste(pillow, ((40 - 30) // 2, 0))
    assert np.array_equal(padded(picture, tiny_judges.MEAN).permute(1, 2, 0).numpy(), np.asarray(square))
    assert torch.equal(padded(image(8, 8), tiny_judges.MEAN), image(8, 8))


def without_encoder(settings: dict[str, Any], folder: Path) -> str:
    """A folder with the same weights but those of the image encoder."""
    state = {name: each for file in make(settings)._files() for name, each in tensors.read(file, "id").items()}
    bare = {name: each.clone() for name, each in state.items() if not name.startswith("vision_tower.")}
    folder.mkdir()
    save_file(bare, folder / "model.safetensors")
    (folder / "config.json").write_bytes((Path(settings["id"]) / "config.json").read_bytes())
    return str(folder)


@torch.inference_mode()
def test_files_without_an_image_encoder_take_the_towers(settings: dict[str, Any], tmp_path: Path) -> None:
    whole, other = make(settings), make(settings, id=without_encoder(settings, tmp_path / "bare")).load("cpu", str)
    assert other.score(image()[None], ["a cat"]) == whole.load("cpu", str).score(image()[None], ["a cat"])


@pytest.mark.parametrize(
    ("change", "config", "message"),
    [
        ({"shared.weight": None}, {}, r"they are not CLIP-FlanT5's \(no shared.weight\)"),
        ({"mm_projector.2.weight": None}, {}, "no mm_projector.0.weight and mm_projector.2.weight"),
        ({"encoder.final_layer_norm.weight": None}, {}, "T5 has no weights for 'encoder.final_layer_norm.weight'"),
        ({"more.weight": torch.zeros(2)}, {}, "T5 takes no 'more.weight'"),
        ({}, {"mm_projector_type": "linear"}, "mm_projector_type = linear; only mlp2x_gelu is supported"),
    ],
)
def test_other_weights_are_refused(
    change: dict[str, Any], config: dict[str, Any], message: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    state = {name: each for file in make(settings)._files() for name, each in tensors.read(file, "id").items()}
    kept = {name: each.clone() for name, each in {**state, **change}.items() if each is not None}
    save_file(kept, tmp_path / "model.safetensors")
    told = json.loads((Path(settings["id"]) / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**told, **config}))
    with pytest.raises(WeightsError, match=message):
        make(settings, id=str(tmp_path)).load("cpu", str)


def test_identities_are_of_all_files(settings: dict[str, Any], tmp_path: Path) -> None:
    found = make(settings).identity()
    assert set(found["id"]) == {"config.json", "pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"}
    assert set(found["tower"]) == {"config.json", "preprocessor_config.json"}
    (tmp_path / "system.txt").write_text("a talk of three")
    assert make(settings, system=str(tmp_path / "system.txt")).identity() != found
    with pytest.raises(WeightsError, match="has no weights"):
        make(settings, id=str(tmp_path)).check()


def test_identities_are_of_the_towers_weights_where_they_are_used(settings: dict[str, Any], tmp_path: Path) -> None:
    towers = {}
    for name in ("one", "two", "none"):
        towers[name] = str(shutil.copytree(settings["tower"], tmp_path / name))
    weights = load_file(tmp_path / "two" / "model.safetensors")
    save_file({name: 2 * each for name, each in weights.items()}, tmp_path / "two" / "model.safetensors")
    (tmp_path / "none" / "model.safetensors").unlink()
    assert [make(settings, tower=tower).identity() for tower in towers.values()] == [make(settings).identity()] * 3
    make(settings, tower=towers["none"]).check()

    bare = without_encoder(settings, tmp_path / "bare")
    one, two = (make(settings, id=bare, tower=towers[name]).identity() for name in ("one", "two"))
    assert set(one["tower"]) == {"config.json", "preprocessor_config.json", "model.safetensors"}
    assert one["tower"] != two["tower"]
    with pytest.raises(
        WeightsError, match=r"tower .*none: has no weights, and id .*bare has none for an image encoder"
    ):
        make(settings, id=bare, tower=towers["none"]).check()
