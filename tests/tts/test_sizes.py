"""Sizes of latents and images, as numbers and pairs, are drawn like diffusers' pipelines or refused in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny_pipelines
import torch
from checks_of_models import MODELS as CHECKS

from tts.engine.batching import Engine
from tts.errors import SettingError, WeightsError
from tts.noise import Noise, normal
from tts.registry import MODELS
from tts.rewards.brightness import Brightness
from tts.samplers.base import Call, drive, follow
from tts.search.segment import ALL, Segment

PROMPTED = ["stable-diffusion", "stable-diffusion-xl"]
STEPS = 3


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every pipeline, saved once."""
    folder = tmp_path_factory.mktemp("saved")
    return {name: tiny_pipelines.save(make(), folder / name) for name, make in tiny_pipelines.PIPELINES.items()}


@pytest.fixture
def sized(saved: dict[str, Path], tmp_path: Path) -> Any:
    """Settings of a model whose network states another size; the weights are links to the same files."""

    def make(name: str, own: Any, **values: Any) -> Any:
        part = "transformer" if name == "dit" else "unet"
        folder = tmp_path / f"{name}-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        for entry in saved[name].iterdir():
            if entry.name != part:
                (folder / entry.name).symlink_to(entry)
        (folder / part).mkdir()
        weights = "diffusion_pytorch_model.safetensors"
        (folder / part / weights).symlink_to(saved[name] / part / weights)
        config = json.loads((saved[name] / part / "config.json").read_text())
        config = {key: value for key, value in {**config, "sample_size": own}.items() if value != "left out"}
        (folder / part / "config.json").write_text(json.dumps(config))
        return MODELS.make({"name": name, "id": str(folder), "sampler": {"steps": STEPS, "eta": 0}, **values})[1]

    return make


@torch.inference_mode()
def drawn(model: Any) -> Any:
    """Our image from a fixed noise, and that noise."""
    x = torch.from_numpy(normal(1, model.shape))

    def answer(call: Call) -> Any:
        return model.denoise(call.x[None], torch.tensor([call.level], dtype=torch.float64), ["a cat"])[0]

    return model.decode(drive(follow(model.sampler, x, [None] * STEPS), answer).x[None]), x


@torch.inference_mode()
def theirs(pipeline: Any, x: Any, height: int, width: int) -> Any:
    """The pipeline's image from the same noise."""
    pipeline.set_progress_bar_config(disable=True)
    images = pipeline(
        "a cat",
        latents=x[None].clone(),
        num_inference_steps=STEPS,
        guidance_scale=4.0,
        height=height,
        width=width,
        output_type="pt",
    ).images
    return (images * 255).round().to(torch.uint8)


@pytest.mark.parametrize(
    ("size", "asked", "height", "width"),
    [(8, None, 16, 16), ([8, 12], None, 16, 24), ([12, 8], None, 24, 16), (8, [24, 16], 24, 16), ([8, 12], 32, 32, 32)],
)
@pytest.mark.parametrize("name", PROMPTED)
def test_images_of_any_size_are_the_pipelines(
    name: str, size: Any, asked: Any, height: int, width: int, sized: Any
) -> None:
    """SDXL is told height and width, and its images change with them."""
    settings = sized(name, size, size=asked, guidance=4)
    settings.check()
    model = settings.load()
    assert model.shape == (4, height // 2, width // 2)
    found, x = drawn(model)
    assert found.shape == (1, 3, height, width)
    expected = theirs(tiny_pipelines.PIPELINES[name](), x, height, width)
    assert int((found.int() - expected.int()).abs().max()) == CHECKS["sizes"].near(0)


def test_a_search_runs_on_images_that_are_not_square(sized: Any) -> None:
    from toy_engine import Player

    model = sized("stable-diffusion", [8, 12]).load()
    engine = Engine(model, {"brightness": Brightness().load()}, 2)
    [outcome] = Player(engine).ask(Segment(Noise(1), (None,) * STEPS, "a cat", ALL))
    engine.close()
    assert 0 <= outcome.scores["brightness"] <= 1


@pytest.mark.parametrize("size", [[8], [8, 12, 3], "8", 0, [8, -1], [8.0, 8.0], True, None, "left out"])
@pytest.mark.parametrize("name", PROMPTED)
def test_what_is_no_size_is_one_line(name: str, size: Any, sized: Any) -> None:
    for use in ("check", "load"):
        with pytest.raises(WeightsError, match=r"^id .*: its unet's sample_size is .*neither[^\n]*; set size$"):
            getattr(sized(name, size), use)()
    assert sized(name, size, size=16).load().shape == (4, 8, 8)


@pytest.mark.parametrize("size", [[8, 12], [8, 8]])
def test_a_dit_is_square(size: list[int], sized: Any) -> None:
    for use in ("check", "load"):
        with pytest.raises(WeightsError, match=r"sample_size is \[8, \d+\], and a DiTTransformer2DModel takes one num"):
            getattr(sized("dit", size), use)()
    sized("dit", 8).check()


def test_a_dit_that_says_no_size_has_its_classs(sized: Any) -> None:
    settings = sized("dit", "left out")
    settings.check()
    assert settings.latent_shape() == (4, 32, 32)


@pytest.mark.parametrize("size", [[16, 20], [16], [16, 24, 8], [12, 16], 0])
def test_sizes_that_cannot_be_set_are_refused(size: Any, sized: Any) -> None:
    with pytest.raises(SettingError, match=r"size"):
        sized("stable-diffusion", 8, size=size)


def test_a_pair_is_written_and_read_again(sized: Any) -> None:
    settings = sized("stable-diffusion", 8, size=[16, 24])
    assert settings.record()["size"] == [16, 24]
    assert type(settings).model_validate(settings.record()) == settings
    assert settings.identity() != sized("stable-diffusion", 8, size=[24, 16]).identity()


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_sizes_are_told_as_they_are_in_any_precision(precision: str, sized: Any) -> None:
    dtype = {"fp16": torch.float16, "bf16": torch.bfloat16}[precision]
    settings = sized("stable-diffusion-xl", 8, size=[2056, 4104])
    told = settings.unet_arguments([{"tokens": torch.zeros(3, 4, dtype=dtype), "pooled": torch.zeros(4, dtype=dtype)}])
    assert told["added_cond_kwargs"]["time_ids"].tolist() == [[2056, 4104, 0, 0, 2056, 4104]]
