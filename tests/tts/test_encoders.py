"""CLIP, HPSv2, the aesthetic head, PickScore and ImageReward against their libraries and published formulas."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import open_clip
import pytest
import tiny_rewards
import torch
from checks_of_rewards import REWARDS as CHECKS
from hostile import pickle_that_makes
from image_reward_form import image_reward
from smooth_images import images, pillow
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer

from tts.errors import SettingError, WeightsError
from tts.files import tensors
from tts.files.hub import named_file
from tts.quiet import quiet
from tts.registry import REWARDS
from tts.rewards.base import Reward, RewardSettings
from tts.rewards.preprocess import Preprocess

PROMPTS = ["a cat", "a dog", "two birds", "a house", "a red car"]
NAMES = ("clip", "hpsv2", "aesthetic", "pickscore", "imagereward")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Settings of every reward on tiny weights."""
    return tiny_rewards.all_settings(tmp_path_factory.mktemp("rewards") / "all")


@pytest.fixture(autouse=True)
def _inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


def settings(name: str, values: dict[str, Any]) -> RewardSettings:
    return REWARDS.make({"name": name, **values})[1]


def open_clip_cosines(folder: str, pictures: Tensor, texts: list[str]) -> list[float]:
    """Cosines from open_clip's own preprocessing and tokenizer."""
    source = f"local-dir:{folder}"
    model, _, prepare = open_clip.create_model_and_transforms(source)
    seen = model.eval().encode_image(torch.stack([prepare(pillow(image)) for image in pictures]), normalize=True)
    read = model.encode_text(open_clip.get_tokenizer(source)(texts), normalize=True)
    return (seen * read).sum(dim=1).tolist()


@pytest.mark.parametrize("size", [(16, 16), (40, 40), (24, 40)])
def test_clip_is_open_clips_cosine(size: tuple[int, int], files: dict[str, dict[str, Any]]) -> None:
    pictures = images(5, 3, *size)
    found = settings("clip", files["clip"]).load().score(pictures, PROMPTS)
    assert found == CHECKS["clip"].near(open_clip_cosines(files["clip"]["model"], pictures, PROMPTS))
    assert max(found) - min(found) > 2e-2  # type: ignore[type-var,operator]


def test_clip_reads_the_caption_of_a_class(files: dict[str, dict[str, Any]]) -> None:
    pictures, clip = images(2, 3, 16, 16), settings("clip", files["clip"])
    by_class = clip.load("cpu", lambda condition: PROMPTS[int(condition)]).score(pictures, [0, 1])
    assert by_class == clip.load().score(pictures, PROMPTS[:2])
    assert by_class != clip.load().score(pictures, PROMPTS[1:3])


def test_texts_are_encoded_once(files: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    reward: Any = settings("clip", files["clip"]).load()
    read: list[str] = []
    encode = reward.encoders.texts.encode
    monkeypatch.setattr(reward.encoders.texts, "encode", lambda text: read.append(text) or encode(text))
    for _ in range(3):
        reward.score(images(4, 3, 16, 16), ["a", "b", "a", "b"])
    assert read == ["a", "b"]


@pytest.mark.parametrize("name", NAMES)
def test_a_value_depends_on_its_own_row_only(name: str, files: dict[str, dict[str, Any]]) -> None:
    reward, pictures = settings(name, files[name]).load(), images(5, 3, 20, 20)
    together = reward.score(pictures, PROMPTS)
    backwards = reward.score(pictures.flip(0), PROMPTS[::-1])[::-1]
    alone = [reward.score(pictures[k : k + 1], [PROMPTS[k]])[0] for k in range(5)]
    assert together == backwards == alone
    assert len(set(together)) == 5


@pytest.mark.parametrize("name", NAMES)
def test_lower_precision_is_near(name: str, files: dict[str, dict[str, Any]]) -> None:
    pictures = images(5, 3, 16, 16)
    full = settings(name, files[name]).load().score(pictures, PROMPTS)
    half = settings(name, {**files[name], "precision": "bf16"}).load().score(pictures, PROMPTS)
    assert half != full
    assert half == pytest.approx(full, abs=0.15, rel=0.05)


@pytest.mark.parametrize("name", NAMES)
def test_identity_follows_the_files_content_and_not_their_place(
    name: str, files: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    identity = settings(name, files[name]).identity()
    copied = tiny_rewards.all_settings(tmp_path / "elsewhere")[name]
    assert settings(name, copied).identity() == identity
    assert str(tmp_path) not in str(settings(name, copied).identity())
    assert settings(name, {**files[name], "precision": "fp16"}).identity() != identity


def test_hpsv2_pads_images_to_squares(files: dict[str, dict[str, Any]]) -> None:
    wide, clip = images(2, 3, 8, 16), settings("clip", {"model": files["hpsv2"]["model"]}).load()
    found = settings("hpsv2", files["hpsv2"]).load().score(wide, PROMPTS[:2])
    assert found == clip.score(F.pad(wide, (0, 0, 4, 4)), PROMPTS[:2])


def test_aesthetic_is_the_heads_product(files: dict[str, dict[str, Any]]) -> None:
    pictures, values = images(3, 3, 16, 16), files["aesthetic"]
    clip: Any = settings("clip", {"model": values["model"]}).load()
    x = clip.encoders.images(pictures).double()
    state = torch.load(values["head"], weights_only=True)
    for place in (0, 2, 4):
        x = x @ state[f"layers.{place}.weight"].double().T + state[f"layers.{place}.bias"].double()
    found = settings("aesthetic", values).load().score(pictures, ["x"] * 3)
    assert found == CHECKS["aesthetic"].near(x[:, 0].tolist())


def test_pickscore_is_transformers_own(files: dict[str, dict[str, Any]]) -> None:
    folder, pictures = files["pickscore"]["id"], images(5, 3, 16, 16)
    with quiet():
        model, words = CLIPModel.from_pretrained(folder).eval(), CLIPTokenizer.from_pretrained(folder)
        pixels = CLIPImageProcessor.from_pretrained(folder)(list(pictures), return_tensors="pt")["pixel_values"]
    values = [
        float(
            model(
                **words(text, truncation=True, max_length=16, return_tensors="pt"), pixel_values=image[None]
            ).logits_per_image
        )
        for text, image in zip(PROMPTS, pixels, strict=True)
    ]
    assert settings("pickscore", files["pickscore"]).load().score(pictures, PROMPTS) == CHECKS["pickscore"].near(values)


def test_imagereward_is_the_published_computation(files: dict[str, dict[str, Any]]) -> None:
    """The reference computes with functions of torch on the file's own tensors."""
    values, pictures = files["imagereward"], images(2, 3, 32, 32)
    found = settings("imagereward", values).load().score(pictures, ["a cat", "dog"])
    letters = {letter: 5 + k for k, letter in enumerate("abcdefghijklmnopqrstuvwxyz")}
    inside = {letter: 31 + k for k, letter in enumerate("abcdefghijklmnopqrstuvwxyz")}
    tokens = [
        [2, letters["a"], letters["c"], inside["a"], inside["t"], 3],
        [2, letters["d"], inside["o"], inside["g"], 3],
    ]
    weights = {name: value.double() for name, value in tensors.read(Path(values["weights"]), "weights").items()}
    expected = [image_reward(weights, image, line) for image, line in zip(pictures, tokens, strict=True)]
    assert found == CHECKS["imagereward"].near(expected)


@pytest.mark.parametrize(("mode", "size"), [("shortest", (20, 30)), ("longest", (30, 20)), ("squash", (30, 20))])
def test_preprocessing_makes_squares(mode: Any, size: tuple[int, int]) -> None:
    made = Preprocess(10, (0.0,) * 3, (1.0,) * 3, mode=mode)(images(2, 3, *size))
    assert made.shape == (2, 3, 10, 10)
    assert 0 <= made.min() <= made.max() <= 1
    assert bool(made[0, :, :, 0].sum() == 0) is (mode == "longest")  # black beside a tall image


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "unknown model": ("clip", {"model": "ViT-L14"}, "model ViT-L14: unknown; did you mean 'ViT-L-14'"),
    "unknown tag": ("clip", {"model": "ViT-B-32", "pretrained": "opanai"}, "did you mean 'openai'"),
    "no folder": ("clip", {"model": "/nowhere"}, "model /nowhere"),
    "no head": ("aesthetic", {"head": "/nowhere.pth"}, "head /nowhere.pth: no such file"),
    "no weights": ("imagereward", {"weights": "/nowhere.pt"}, "weights /nowhere.pt: no such file"),
    "no pickscore": ("pickscore", {"id": "/nowhere"}, "id /nowhere: no such folder"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_there_is_named(case: str, files: dict[str, dict[str, Any]]) -> None:
    name, values, message = REFUSED[case]
    with pytest.raises((SettingError, WeightsError)) as error:
        settings(name, {**files[name], **values}).check()
    assert message in str(error.value)
    assert "\n" not in str(error.value)


OFFLINE: dict[str, dict[str, Any]] = {
    "clip": {"model": "ViT-B-32", "pretrained": "laion2b_e16"},
    "hpsv2": {},
    "pickscore": {},
    "imagereward": {},
}


@pytest.mark.parametrize("name", OFFLINE)
def test_an_unreachable_hub_is_one_line_that_says_what_to_do(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match=r"cache.*(set (id|pretrained|weights)|to a file)") as error:
        settings(name, OFFLINE[name]).check()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("file", ["", "/", "owner/name", "owner/name/", "/name/file.pt"])
def test_a_name_of_no_file_on_the_hub_is_refused(file: str) -> None:
    with pytest.raises(WeightsError, match=f"^weights hf-hub:{file}: names no file of a repository on the hub"):
        named_file(f"hf-hub:{file}", "weights")
    with pytest.raises(WeightsError, match=f"^pretrained hf-hub:{file}: names no file of a repository on the hub"):
        settings("clip", {"model": "ViT-B-32", "pretrained": f"hf-hub:{file}"}).weights()


HOSTILE: dict[str, Callable[[Path], tuple[str, dict[str, Any]]]] = {
    "aesthetic": lambda path: ("aesthetic", {"head": str(path)}),
    "imagereward": lambda path: ("imagereward", {"weights": str(path)}),
    "clip": lambda path: ("clip", {"model": "ViT-B-32", "pretrained": str(path), "quick_gelu": True}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_pickle_is_refused_and_runs_nothing(
    name: str, files: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    path = pickle_that_makes(tmp_path / "proof", tmp_path / "weights.pt")
    reward, values = HOSTILE[name](path)
    with pytest.raises(WeightsError, match=r"weights\.pt: damaged, or holds more than tensors.*system"):
        settings(reward, {**files[reward], **values}).load()
    assert not (tmp_path / "proof").exists()


def test_weights_of_another_network_are_named(files: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    wrong = tiny_rewards.aesthetic_head(tmp_path / "head.pth", width=48)
    with pytest.raises(WeightsError, match=r"takes embeddings of 48 numbers.*have 32; set model"):
        settings("aesthetic", {**files["aesthetic"], "head": str(wrong)}).load()
    with pytest.raises(WeightsError, match=r"has no linear layers"):
        settings("aesthetic", {**files["aesthetic"], "head": files["imagereward"]["weights"]}).check()
    with pytest.raises(WeightsError, match=r"not ImageReward's \(no 'blip"):
        settings("imagereward", {**files["imagereward"], "weights": files["aesthetic"]["head"]}).check()
    (tmp_path / "w.safetensors").write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{}")
    with pytest.raises(WeightsError, match=r"w\.safetensors"):
        settings(
            "clip", {"model": "ViT-B-32", "pretrained": str(tmp_path / "w.safetensors"), "quick_gelu": True}
        ).load()


def reward_values(reward: Reward) -> list[float | None]:
    return reward.score(images(1, 3, 16, 16), [PROMPTS[0]])


def test_aesthetic_does_not_read_the_prompt(files: dict[str, dict[str, Any]]) -> None:
    reward = settings("aesthetic", files["aesthetic"]).load()
    [value] = reward_values(reward)
    assert value is not None
    assert math.isfinite(value)
    assert reward.score(images(1, 3, 16, 16), ["another"]) == [value]
