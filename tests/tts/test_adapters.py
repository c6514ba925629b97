"""LoRAs and 8-bit weights: what they add, when they are refused, and that both belong to a model's identity."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import tiny_flux
import tiny_pipelines
import torch
from safetensors.torch import save_file
from tiny_flows import FAMILIES
from torch import Tensor

from tts.engine.batching import flops_of, rows_are_independent
from tts.errors import SettingError, TTSError, WeightsError
from tts.models.base import Model
from tts.models.encoding import encode_lacking, prompts_from
from tts.models.prompt_store import PromptStore
from tts.noise import normal
from tts.registry import MODELS

LAYERS = {
    "stable-diffusion": "unet.up_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q",
    "stable-diffusion-xl": "unet.up_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k",
    "flux": "transformer.transformer_blocks.0.attn.to_q",
}
TEXT = {
    "stable-diffusion": "text_encoder.text_model.encoder.layers.0.self_attn.q_proj",
    "stable-diffusion-xl": "text_encoder_2.text_model.encoder.layers.0.self_attn.q_proj",
    "flux": "text_encoder.text_model.encoder.layers.0.self_attn.q_proj",
}
NAMES = sorted(LAYERS)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("adapted")
    makers = {**tiny_pipelines.PIPELINES, "flux": tiny_flux.flux}
    return {name: tiny_pipelines.save(makers[name](), folder / name) for name in NAMES}


def settings(name: str, saved: Mapping[str, Path], **values: Any) -> Any:
    small = {"size": 16} if name == "flux" else {}
    given = {"name": name, "id": str(saved[name]), "precision": "fp32", "sampler": {"steps": 3}, **small}
    return MODELS.make({**given, **values})[1]


def weight_of(pipeline: Any, layer: str) -> Tensor:
    part, _, name = layer.partition(".")
    network = getattr(pipeline, part)
    found: Tensor = network.get_submodule(name if hasattr(network, "text_model") else name.removeprefix("text_model."))
    return found.weight.detach()  # type: ignore[no-any-return,operator]


def lora_file(path: Path, shapes: Mapping[str, tuple[int, ...]], rank: int = 2) -> tuple[Path, dict[str, Tensor]]:
    """A LoRA of some layers in the form that diffusers writes, and what it must add to each layer's weights."""
    generator, tensors, gains = torch.Generator().manual_seed(1), dict[str, Tensor](), dict[str, Tensor]()
    for layer, (outs, ins) in shapes.items():
        down, up = torch.randn(rank, ins, generator=generator), torch.randn(outs, rank, generator=generator)
        tensors |= {f"{layer}.lora_A.weight": down, f"{layer}.lora_B.weight": up}
        gains[layer] = up @ down
    save_file(tensors, path)
    return path, gains


@torch.inference_mode()
def denoised(model: Model) -> Tensor:
    x = torch.stack([torch.from_numpy(normal(row, model.shape)) for row in range(2)])
    level = float(getattr(model.sampler, "times", [0.7])[0])
    return model.denoise(x, torch.full((2,), level, dtype=torch.float64), ["a cat", "a dog"])


@pytest.mark.parametrize("name", NAMES)
def test_a_lora_adds_its_product_times_its_scale(name: str, saved: dict[str, Path], tmp_path: Path) -> None:
    plain = settings(name, saved).pipeline()
    layers = [LAYERS[name], TEXT[name]]
    before = {layer: weight_of(plain, layer).clone() for layer in layers}
    file, gains = lora_file(tmp_path / "it.safetensors", {layer: tuple(before[layer].shape) for layer in layers})
    made = settings(name, saved, loras=[{"weights": str(file), "scale": 0.5}, {"weights": str(file), "scale": -2}])
    made.check()
    pipeline = made.pipeline()
    for layer in layers:
        torch.testing.assert_close(weight_of(pipeline, layer), before[layer] - 1.5 * gains[layer], atol=1e-5, rtol=0)
    part = LAYERS[name].partition(".")[0]
    assert getattr(pipeline, part).state_dict().keys() == getattr(plain, part).state_dict().keys()
    assert not torch.equal(denoised(made.load()), denoised(settings(name, saved).load()))


def test_a_store_has_prompts_by_the_encoders_with_their_lora(saved: dict[str, Path], tmp_path: Path) -> None:
    name = "stable-diffusion"
    shape = tuple(weight_of(settings(name, saved).pipeline(), TEXT[name]).shape)
    file, _ = lora_file(tmp_path / "it.safetensors", {TEXT[name]: shape})
    made, store = settings(name, saved, loras=[{"weights": str(file)}]), PromptStore(tmp_path, {"device": "cpu"})
    encode_lacking(settings(name, saved), ["a cat", "a dog"], store, "cpu")
    assert encode_lacking(made, ["a cat", "a dog"], store, "cpu") == 3  # a LoRA changes encodings
    with prompts_from(store):
        stored = made.load()
    assert torch.equal(denoised(stored), denoised(made.load()))


@pytest.mark.parametrize("name", ["auraflow", "flux2", "lumina2", "qwen-image", "sana", "z-image-turbo"])
def test_a_lora_of_a_transformer_alone_stops_no_encoding(name: str, tmp_path: Path) -> None:
    """The pipelines of these families take LoRAs for no text encoder, and only those are loaded to fill a store."""
    family = FAMILIES[name]
    pipeline = family.make()
    attends = [layer for layer, _ in pipeline.transformer.named_modules() if layer.endswith("to_q")]
    layer = f"transformer.{attends[-1]}"
    file, _ = lora_file(tmp_path / "it.safetensors", {layer: tuple(weight_of(pipeline, layer).shape)})
    given = {"name": family.name, "id": str(tiny_pipelines.save(pipeline, tmp_path / "it")), "size": family.pixels}
    plain, made = (
        MODELS.make({**given, "precision": "fp32", "sampler": {"steps": 3}, "loras": loras})[1]
        for loras in ([], [{"weights": str(file)}])
    )
    store = PromptStore(tmp_path / "store", {"device": "cpu"})
    made.check()
    assert encode_lacking(made, ["a cat", "a dog"], store, "cpu") == 3
    with prompts_from(store):
        stored = denoised(made.load())
    assert torch.equal(stored, denoised(made.load()))
    assert not torch.equal(stored, denoised(plain.load()))


def refused(match: str, make: Any, kind: type[TTSError] = WeightsError) -> None:
    with pytest.raises(kind, match=match) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_a_lora_of_another_network_is_refused_in_one_line(saved: dict[str, Path], tmp_path: Path) -> None:
    def made(layer: str, shape: tuple[int, int]) -> Any:
        file, _ = lora_file(tmp_path / "it.safetensors", {layer: shape})
        return settings("stable-diffusion", saved, loras=[{"weights": str(file)}])

    refused(r"loras\.weights .*is not for a unet; set one", made(LAYERS["flux"], (32, 32)).check)
    refused(r"loras\.weights .*is of another network", made(LAYERS["stable-diffusion"], (64, 48)).pipeline)
    unknown = LAYERS["stable-diffusion"].replace("up_blocks.0", "up_blocks.7")
    refused(r"loras\.weights .*(1 of its 1 layers are none of|is of another)", made(unknown, (32, 32)).pipeline)


def test_what_is_no_lora_is_refused(saved: dict[str, Path], tmp_path: Path) -> None:
    def check(file: Path) -> Any:
        return settings("stable-diffusion", saved, loras=[{"weights": str(file)}]).check

    save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors")
    (tmp_path / "it.bin").write_bytes(b"\x80\x02}q\x00.")
    refused("holds no LoRA", check(tmp_path / "other.safetensors"))
    refused("not a safetensors file", check(tmp_path / "it.bin"))
    refused(r"^loras\.weights .*: no such file", check(tmp_path / "nowhere.safetensors"))


def test_a_missing_library_is_named(saved: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("tts.models.lora", "tts.networks.quantised"):
        monkeypatch.setattr(f"{module}.find_spec", lambda _: None)
    file, _ = lora_file(tmp_path / "it.safetensors", {LAYERS["flux"]: (32, 32)})
    refused("peft is needed.*adapters", settings("flux", saved, loras=[{"weights": str(file)}]).check, SettingError)
    refused("torchao is needed.*adapters", settings("flux", saved, quantization="int8").check, SettingError)


def test_both_belong_to_the_identity_and_change_none_without(saved: dict[str, Path], tmp_path: Path) -> None:
    plain = settings("flux", saved)
    assert not {"loras", "quantization"} & (plain.identity().keys() | plain.record().keys())
    file, _ = lora_file(tmp_path / "it.safetensors", {LAYERS["flux"]: (32, 32)})
    [lora] = settings("flux", saved, loras=[{"weights": str(file), "scale": 2}]).identity()["loras"]
    assert lora["scale"] == 2
    assert len(lora["weights"]) == 64
    assert settings("flux", saved, quantization="int8").identity()["quantization"] == "int8"


@pytest.mark.parametrize("name", NAMES)
def test_weights_in_int8_are_near_and_rows_stay_apart(name: str, saved: dict[str, Path]) -> None:
    whole, small = settings(name, saved).load(), settings(name, saved, quantization="int8").load()
    first, second = denoised(whole), denoised(small)
    error = float((first - second).abs().max() / first.abs().max())
    assert 0 < error < 0.05
    assert rows_are_independent(small, 4, "a cat")
    assert flops_of(small, "a cat", "cpu") == flops_of(whole, "a cat", "cpu")


def test_fp8_is_refused_where_it_is_not_computed(saved: dict[str, Path]) -> None:
    """An engine refuses it, and so does a study on CPUs before a prompt is encoded."""
    made = settings("flux", saved, quantization="fp8")
    for asked in (made.load, lambda: made.suits("cpu")):
        refused(
            "quantization: fp8 needs a GPU of compute capability 8.9 or later, which cpu is not; set int8",
            asked,
            SettingError,
        )
    made.suits("cuda")
    settings("flux", saved, quantization="int8").suits("cpu")
