"""Encoded prompts in a store: each is encoded once, and models without text encoders read it unchanged."""

from __future__ import annotations

import importlib
import threading
from pathlib import Path
from typing import Any

import pytest
import tiny_pipelines
import torch
from torch import Tensor

from tts.errors import SettingError
from tts.models import encoding
from tts.models.encoding import encode_lacking, lacking, prompted, prompts_from
from tts.models.prompt_store import PromptStore, Recent
from tts.models.prompts import code_of
from tts.noise import normal
from tts.registry import MODELS

PROMPTS = ["a cat", "a red cube"]
CPU = {"device": "cpu", "threads": 1}
NAMES = ["stable-diffusion", "stable-diffusion-xl"]


pytestmark = pytest.mark.usefixtures("one_thread")


def settings_in(name: str, folder: Path) -> Any:
    """Save tiny weights; returns settings of a model on them."""
    tiny_pipelines.save(tiny_pipelines.PIPELINES[name](), folder)
    return MODELS.make({"name": name, "id": str(folder), "sampler": {"steps": 3}})[1]


@torch.inference_mode()
def denoised(model: Any) -> Tensor:
    x = torch.stack([torch.from_numpy(normal(row, model.shape)) for row in range(2)])
    times = torch.full((2,), float(model.sampler.times[0]), dtype=torch.float64)
    found: Tensor = model.denoise(x, times, PROMPTS)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_model_with_a_store_is_the_model_without_its_text_encoders(name: str, tmp_path: Path) -> None:
    settings = settings_in(name, tmp_path / "it")
    store = PromptStore(tmp_path / "store", CPU)
    assert lacking(settings, PROMPTS, store) == 3
    assert encode_lacking(settings, PROMPTS, store, "cpu") == 3
    assert lacking(settings, PROMPTS, store) == encode_lacking(settings, PROMPTS, store, "cpu") == 0
    with prompts_from(PromptStore(tmp_path / "store", CPU)):
        pipeline = settings.placed("cpu")
        model = settings.load()
    assert all(getattr(pipeline, part) is None for part in settings.encoders)
    assert torch.equal(denoised(model), denoised(settings.load()))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sd") / "it"
    settings_in("stable-diffusion", folder)
    return folder


@pytest.fixture
def settings(saved: Path) -> Any:
    return MODELS.make({"name": "stable-diffusion", "id": str(saved)})[1]


@pytest.fixture
def store(tmp_path: Path) -> PromptStore:
    return PromptStore(tmp_path / "store", CPU)


def test_what_was_encoded_before_a_kill_is_not_encoded_again(settings: Any, store: PromptStore) -> None:
    told: list[tuple[int, int]] = []

    def dies(done: int, total: int) -> None:
        told.append((done, total))
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode_lacking(settings, PROMPTS, store, "cpu", dies)
    assert told == [(0, 3), (1, 3), (2, 3)]
    assert lacking(settings, PROMPTS, store) == 1
    assert encode_lacking(settings, PROMPTS, store, "cpu") == 1


def test_of_several_at_once_one_encodes(
    settings: Any, store: PromptStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    real = encoding._encode

    def counted(model: Any, prompts: list[str | None], *rest: Any) -> None:
        calls.append(len(prompts))
        real(model, prompts, *rest)

    monkeypatch.setattr(encoding, "_encode", counted)
    stores = [PromptStore(tmp_path / "store", CPU) for _ in range(3)]
    threads = [threading.Thread(target=encode_lacking, args=(settings, PROMPTS, each, "cpu")) for each in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls == [3]


def test_a_prompt_that_is_not_there_is_encoded_when_it_is_asked_for(settings: Any, store: PromptStore) -> None:
    with prompts_from(store):
        model = settings.load()
    assert torch.equal(denoised(model), denoised(settings.load()))
    assert lacking(settings, PROMPTS, store) == 0


def test_a_damaged_file_is_made_again(settings: Any, store: PromptStore, tmp_path: Path) -> None:
    encode_lacking(settings, PROMPTS, store, "cpu")
    key = store.key(settings.encoder_identity(), "a cat")
    whole = store.path(key).read_bytes()
    store.path(key).write_bytes(whole[:-5])
    with prompts_from(PromptStore(tmp_path / "store", CPU)):
        denoised(settings.load())
    assert store.path(key).read_bytes() == whole


def test_a_key_is_of_all_that_decides_an_encoding(settings: Any, saved: Path, store: PromptStore) -> None:
    def key(*, at: PromptStore = store, prompt: str | None = "a cat", **values: Any) -> str:
        made: Any = MODELS.make({"name": "stable-diffusion", "id": str(saved), **values})[1]
        return at.key(made.encoder_identity(), prompt)

    other = PromptStore(store.folder, {"device": "cuda"})
    keys = [key(), key(prompt=None), key(precision="bf16"), key(negative_prompt="dark"), key(at=other)]
    assert len(set(keys)) == len(keys)
    assert key(sampler={"steps": 7}, guidance=2.0) == key()  # they change no encoding


def test_the_key_follows_code_and_not_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = '"""Module."""\nLIMIT = 3\n"""Text."""\n\nclass Family:\n    """Words."""\n\n'
    code += "    def cut(self):\n        return {}\n"
    others = [code.replace("Words", "Other words"), code.replace("LIMIT", "# Why\n\nLIMIT"), code.replace("Text", "")]
    (tmp_path / "worded.py").write_text(code.format(1))
    monkeypatch.syspath_prepend(str(tmp_path))
    family = importlib.import_module("worded").Family
    found = code_of(family)
    for other in others:
        (tmp_path / "worded.py").write_text(other.format(1))
        assert code_of(family) == found
    (tmp_path / "worded.py").write_text(code.format(2))
    assert code_of(family) != found


def test_the_key_follows_the_encoders_and_not_the_network(settings: Any, store: PromptStore, tmp_path: Path) -> None:
    other = tiny_pipelines.stable_diffusion()
    torch.nn.init.zeros_(other.unet.conv_in.weight)
    folder = tiny_pipelines.save(other, tmp_path / "unet")
    assert MODELS.make({"name": "stable-diffusion", "id": str(folder)})[1].encoder_identity() == (
        settings.encoder_identity()
    )
    torch.nn.init.zeros_(other.text_encoder.get_input_embeddings().weight)
    folder = tiny_pipelines.save(other, tmp_path / "encoder")
    assert MODELS.make({"name": "stable-diffusion", "id": str(folder)})[1].encoder_identity() != (
        settings.encoder_identity()
    )


def test_host_memory_is_bounded_in_bytes() -> None:
    recent = Recent(1000)
    for place in range(10):
        recent.put(str(place), {"tokens": torch.zeros(100)})  # 400 bytes
    assert (len(recent), recent.bytes) == (2, 800)
    assert recent.get("9") is not None
    assert recent.get("7") is None
    recent.put("large", {"tokens": torch.zeros(1000)})
    assert (len(recent), recent.bytes) == (1, 4000)  # the newest stays


def test_the_weaker_model_of_autoguidance_has_its_prompts_too(settings: Any, saved: Path, store: PromptStore) -> None:
    guidance = {"name": "autoguidance", "scale": 2.0, "id": str(saved)}
    made: Any = MODELS.make({"name": "stable-diffusion", "id": str(saved), "guidance": guidance})[1]
    assert len(prompted(made)) == 2
    encode_lacking(made, PROMPTS, store, "cpu")
    with prompts_from(store):
        model = made.load()
    assert torch.equal(denoised(model), denoised(made.load()))


def test_models_without_prompts_need_no_store(store: PromptStore) -> None:
    assert prompted(MODELS.make("cifar10")[1]) == []
    assert encode_lacking(MODELS.make("cifar10")[1], [1, 2], store, "cpu") == 0


def test_a_folder_that_cannot_be_written_to_is_said(settings: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = PromptStore(tmp_path / "file", CPU)
    with pytest.raises(SettingError, match=r"engines\.prompts: .*file cannot be used .*name a folder"):
        encode_lacking(settings, PROMPTS, store, "cpu")
