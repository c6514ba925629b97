"""Facts about CLIP weights that their files do not hold: the GELU and the preparation of images."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import open_clip
import pytest
import tiny_pipelines
import torch
from checks_of_rewards import REWARDS as CHECKS
from hostile import tokenizer_that_makes
from open_clip import factory, pretrained
from open_clip.transform import PreprocessCfg, image_transform_v2, merge_preprocess_dict
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.v2.functional import to_pil_image

from tts.errors import SettingError, WeightsError
from tts.quiet import quiet
from tts.registry import REWARDS
from tts.rewards import clip_constants
from tts.rewards.clip import Clip
from tts.rewards.preprocess import Preprocess

TAGS = [tuple(pair) for pair in open_clip.list_pretrained()]
TINY = "tiny-of-the-tests"
CONFIG = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 16, "layers": 2, "width": 64, "patch_size": 4},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
HALVES = {"mean": (0.5,) * 3, "std": (0.5,) * 3, "interpolation": "bilinear", "resize_mode": "squash"}


@pytest.fixture(autouse=True)
def _inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


def images(*shape: int) -> Tensor:
    draw = torch.Generator().manual_seed(0)
    coarse = torch.rand(shape[0], 3, 4, 4, generator=draw)
    return (F.interpolate(coarse, shape[2:], mode="bicubic").clamp(0, 1) * 255).round().to(torch.uint8)


def theirs_of(model: str, tag: str) -> PreprocessCfg:
    """open_clip's own preprocessing of a tag, as its factory assembles it."""
    merged = merge_preprocess_dict(asdict(PreprocessCfg()), pretrained.get_pretrained_cfg(model, tag))
    return PreprocessCfg(**{**merged, "size": open_clip.get_model_config(model)["vision_cfg"]["image_size"]})


def kind_of(found: Any) -> tuple[Any, ...]:
    return tuple(found.mean), tuple(found.std), found.interpolation, found.resize_mode


def test_every_tag_has_its_own_preprocessing_and_gelu() -> None:
    """This covers all tags of the installed release; open_clip states the GELU by tag or by model configuration."""
    wrong = []
    for model, tag in TAGS:
        ours = Clip(model=model, pretrained=tag).constants()
        gelu = pretrained.get_pretrained_cfg(model, tag).get("quick_gelu", False)
        gelu = bool(gelu or open_clip.get_model_config(model).get("quick_gelu", False))
        if (kind_of(ours), ours.quick_gelu) != (kind_of(theirs_of(model, tag)), gelu):
            wrong.append((model, tag))
    assert len(TAGS) > 150
    assert len(wrong) == CHECKS["clip tags"].abs, wrong


KINDS = {str(kind_of(theirs_of(*pair))): pair for pair in TAGS}


@pytest.mark.parametrize("size", [(24, 40), (40, 24), (16, 16)])
@pytest.mark.parametrize("kind", KINDS)
def test_images_are_prepared_as_open_clip_prepares_them(kind: str, size: tuple[int, int]) -> None:
    """One tag of each kind of preprocessing is tested, at 16 pixels."""
    found, pictures = Clip(model=KINDS[kind][0], pretrained=KINDS[kind][1]).constants(), images(3, 3, *size)
    prepare = image_transform_v2(PreprocessCfg(**{**asdict(theirs_of(*KINDS[kind])), "size": 16}), is_train=False)
    expected = torch.stack([prepare(to_pil_image(picture)) for picture in pictures])
    ours = Preprocess(16, found.mean, found.std, found.interpolation, found.resize_mode)(pictures)
    steps = (ours - expected).abs() * 255 * torch.tensor(found.std).view(3, 1, 1)
    assert float(steps.max()) <= CHECKS["clip pixels"].abs + 1e-3


def weights(config: dict[str, Any]) -> dict[str, Tensor]:
    """Random weights with large values before the GELU, so that its kind shows."""
    state = open_clip.CLIP(**json.loads(json.dumps(config))).state_dict()
    factor = {"c_fc": 3, "c_proj": 20}
    return {name: value * next((k for part, k in factor.items() if part in name), 1) for name, value in state.items()}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """A model that open_clip knows by name, with tags of two kinds, and the files of its weights."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / f"{TINY}.json").write_text(json.dumps(CONFIG))
    open_clip.add_model_config(folder)
    files = {}
    for seed, tag in enumerate(("openai", "halves", "plain")):
        torch.manual_seed(seed)
        files[tag] = folder / f"{tag}.pt"
        torch.save(weights(CONFIG), files[tag])
    digest = hashlib.sha256(files["openai"].read_bytes()).hexdigest()
    pretrained._PRETRAINED[TINY] = {
        "openai": pretrained._pcfg(
            url=f"https://openaipublic.example/{digest}/x.pt", hf_hub="own/openai/", quick_gelu=True
        )
        | {"file": str(files["openai"])},
        "halves": pretrained._pcfg(hf_hub="own/halves/w.pt", **HALVES) | {"file": str(files["halves"])},
        "plain": pretrained._pcfg(hf_hub="own/plain/") | {"file": str(files["plain"])},
    }
    yield files
    del pretrained._PRETRAINED[TINY], factory._MODEL_CONFIGS[TINY]


def theirs(tag: str, pictures: Tensor) -> list[float]:
    """Cosines from open_clip itself with a tag; it must be given the GELU, as it only warns about it."""
    gelu = bool(pretrained._PRETRAINED[TINY][tag].get("quick_gelu", False))
    model, _, prepare = open_clip.create_model_and_transforms(TINY, tag, force_quick_gelu=gelu)
    seen = model.eval().encode_image(torch.stack([prepare(to_pil_image(each)) for each in pictures]), normalize=True)
    read = model.encode_text(open_clip.get_tokenizer(TINY)(["a cat", "a dog"]), normalize=True)
    return (seen * read).sum(dim=1).tolist()


def ours(**values: Any) -> tuple[Clip, Callable[[Tensor], Any]]:
    reward = Clip(model=TINY, **values)
    return reward, lambda pictures: reward.load().score(pictures, ["a cat", "a dog"])


@pytest.mark.parametrize("tag", ["openai", "halves", "plain"])
def test_a_tag_is_used_as_open_clip_uses_it(tag: str, tiny: dict[str, Path]) -> None:
    pictures = images(2, 3, 24, 40)
    assert ours(pretrained=tag)[1](pictures) == CHECKS["clip by tag"].near(theirs(tag, pictures))
    others = [ours(pretrained=str(tiny[tag]), quick_gelu=gelu)[1](pictures) for gelu in (True, False)]
    assert others[0] != CHECKS["clip by tag"].near(others[1])


def test_a_file_that_its_digest_tells_is_used_as_its_tag(tiny: dict[str, Path], tmp_path: Path) -> None:
    pictures = images(2, 3, 24, 40)
    copied = tmp_path / "any name.pt"
    copied.write_bytes(tiny["openai"].read_bytes())
    by_file, score = ours(pretrained=str(copied))
    assert (
        score(pictures)
        == ours(pretrained="openai")[1](pictures)
        == CHECKS["clip by file"].near(theirs("openai", pictures))
    )
    assert by_file.identity()["quick_gelu"] is True
    [note] = by_file.notes([])
    assert "QuickGELU" in note
    assert "tag openai (its digest)" in note


def test_a_file_of_the_hubs_cache_is_used_as_its_tag(tiny: dict[str, Path], tmp_path: Path) -> None:
    cached = tmp_path / "models--own--halves" / "snapshots" / "1234" / "w.pt"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(tiny["halves"].read_bytes())
    reward, score = ours(pretrained=str(cached))
    assert score(images(2, 3, 24, 40)) == ours(pretrained="halves")[1](images(2, 3, 24, 40))
    assert "tag halves (its repository)" in reward.notes([])[0]
    assert clip_constants._is_from("own/halves/w.pt", "hf-hub:own/halves/w.pt")
    assert not clip_constants._is_from("own/halves/w.pt", "hf-hub:own/halves2/w.pt")


def test_any_other_file_must_be_told_of_its_gelu(tiny: dict[str, Path]) -> None:
    file = str(tiny["plain"])
    for refused in (Clip.check, Clip.identity, Clip.load):
        with pytest.raises(SettingError, match=r"two kinds of GELU.*set quick_gelu to true"):
            refused(ours(pretrained=file)[0])
    told, score = ours(pretrained=file, quick_gelu=False)
    assert score(images(2, 3, 24, 40)) == ours(pretrained="plain")[1](images(2, 3, 24, 40))
    assert "CLIP's own" in told.notes([])[0]
    assert set(told.identity()) == {"model", "pretrained", "precision"}  # as in runs from before there was a choice


def test_preprocessing_is_set_by_a_tag_or_by_its_parts(tiny: dict[str, Path]) -> None:
    pictures, file = images(2, 3, 24, 40), str(tiny["halves"])
    by_tag, score = ours(pretrained=file, quick_gelu=False, preprocessing="halves")
    assert score(pictures) == ours(pretrained="halves")[1](pictures)
    by_parts = ours(pretrained=file, quick_gelu=False, preprocessing=HALVES)[0]
    assert by_parts.load().score(pictures, ["a cat", "a dog"]) == score(pictures)
    assert (
        by_parts.identity()
        == by_tag.identity()
        == {
            **ours(pretrained=file, quick_gelu=False)[0].identity(),
            "preprocessing": {**HALVES, "mean": [0.5] * 3, "std": [0.5] * 3},
        }
    )
    partly = ours(pretrained="halves", preprocessing={"resize_mode": "shortest"})[0].constants()
    assert (partly.resize_mode, partly.mean) == ("shortest", (0.5,) * 3)
    with pytest.raises(SettingError, match=r"preprocessing = halvs: no tag of tiny.*did you mean 'halves'"):
        ours(pretrained=file, quick_gelu=False, preprocessing="halvs")[0].check()


def test_hpsv2_says_itself_what_its_files_are(tiny: dict[str, Path]) -> None:
    _, reward = REWARDS.make({"name": "hpsv2", "model": TINY, "pretrained": str(tiny["plain"])})
    found = reward.constants()  # type: ignore[attr-defined]
    assert (found.quick_gelu, found.resize_mode, found.mean[0]) == (False, "longest", 0.48145466)
    assert set(reward.identity()) == {"model", "pretrained", "precision"}


def folder(path: Path, valid: bool = True, **changes: Any) -> Clip:
    """Settings of a folder in open_clip's form."""
    config = {"model_cfg": json.loads(json.dumps(CONFIG)), "preprocess_cfg": {}, **changes}
    path.mkdir(exist_ok=True)
    (path / "open_clip_config.json").write_text(json.dumps(config))
    state = weights(config["model_cfg"]) if valid else {"x": torch.zeros(1)}
    save_file(state, path / "open_clip_model.safetensors")
    return Clip(model=str(path))


@pytest.mark.parametrize(
    "prepare", [{}, {"mean": 0.4, "std": 0.2}, {**HALVES, "size": 16}, {"resize_mode": "longest", "fill_color": 90}]
)
def test_a_folder_is_used_as_open_clip_uses_it(prepare: dict[str, Any], tmp_path: Path) -> None:
    reward, pictures = folder(tmp_path / "f", preprocess_cfg=prepare), images(2, 3, 24, 40)
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{tmp_path / 'f'}")
    seen = model.eval().encode_image(torch.stack([transform(to_pil_image(each)) for each in pictures]), normalize=True)
    read = model.encode_text(open_clip.get_tokenizer(TINY_TEXT)(["a cat", "a dog"]), normalize=True)
    expected = (seen * read).sum(dim=1).tolist()
    assert reward.load().score(pictures, ["a cat", "a dog"]) == CHECKS["clip by folder"].near(expected)
    assert ("CLIP's own" if not prepare else "its configuration") in reward.notes([])[0]


TINY_TEXT = "ViT-B-32"
"""A model of open_clip with the same tokenizer as the tiny model."""

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "key of the preprocessing": ({"preprocess_cfg": {"gamma": 2.2}}, "has 'gamma', whose effect is unknown"),
    "key beside it": ({"text_cfg": {}}, "has 'text_cfg', whose effect is unknown"),
    "key of the model": ({"model_cfg": {**CONFIG, "rope": True}}, "open_clip cannot build it .*rope"),
    "key of a part": ({"model_cfg": {**CONFIG, "vision_cfg": {"widths": 3}}}, "open_clip cannot build it .*widths"),
    "parts of another kind": ({"model_cfg": {**CONFIG, "text_cfg": []}}, "a part of it is no mapping"),
    "two channels": ({"preprocess_cfg": {"mean": [0.5, 0.5]}}, "its 'preprocess_cfg' cannot be used"),
    "no deviation": ({"preprocess_cfg": {"std": [0, 1, 1]}}, "'std' is not above 0"),
    "a resizing that nobody knows": ({"preprocess_cfg": {"resize_mode": "crop"}}, "'resize_mode' is 'crop'; known"),
    "an interpolation that nobody knows": (
        {"preprocess_cfg": {"interpolation": "nearest"}},
        "'interpolation' is 'nearest'; known",
    ),
    "grey images": ({"preprocess_cfg": {"mode": "L"}}, "'mode' is 'L', and only 'RGB'"),
    "no square": (
        {"model_cfg": {**CONFIG, "vision_cfg": {**CONFIG["vision_cfg"], "image_size": [16, 24]}}},  # type: ignore[dict-item]
        "only square ones",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_folder_states_that_is_not_known_is_refused_by_name(case: str, tmp_path: Path) -> None:
    changes, message = REFUSED[case]
    with pytest.raises(WeightsError, match=message) as error:
        folder(tmp_path / "f", valid=case == "no square", **changes).load()
    assert "\n" not in str(error.value)


def test_a_folders_own_tokenizer_is_used_and_part_of_the_identity(tmp_path: Path) -> None:
    with_words = json.loads(json.dumps(CONFIG))
    with_words["text_cfg"] |= {"hf_tokenizer_name": "its own", "context_length": 9}
    reward = folder(tmp_path / "f", model_cfg=with_words)
    with quiet():
        tiny_pipelines.tokenizer().save_pretrained(tmp_path / "f")
    assert reward.notes(["a very long dog"])[-1].endswith("is longer than the 7 tokens that are read; cut: 'ng dog'")
    before = reward.identity()
    assert set(before["tokenizer"]) == {"tokenizer.json", "tokenizer_config.json"}
    words = tmp_path / "f" / "tokenizer_config.json"
    words.write_text(words.read_text().replace("16", "17"))
    assert Clip(model=str(tmp_path / "f")).identity() != before


@pytest.mark.parametrize("words", [{"trust_remote_code": True}, {}])
def test_a_folders_tokenizer_runs_no_code_of_the_folder(
    words: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = {**CONFIG["text_cfg"], "hf_tokenizer_name": "its own", "tokenizer_kwargs": words}  # type: ignore[dict-item]
    reward = folder(tmp_path / "f", model_cfg={**CONFIG, "text_cfg": text})
    tokenizer_that_makes(tmp_path / "proof", tmp_path / "f")
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    with pytest.raises(WeightsError, match=r"'trust_remote_code', whose effect is unknown|custom code"):
        reward.load()
    assert not (tmp_path / "proof").exists()


def test_the_offline_message_names_the_constants(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match=r"set pretrained to a file.* quick_gelu to true and preprocessing to dfn5b"):
        Clip(model="ViT-H-14", pretrained="dfn5b").check()
