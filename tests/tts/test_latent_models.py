"""Stable Diffusion, SDXL and DiT: conditions, guidance, decoding, previews, precision."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import tiny_pipelines
import torch
from torch import Tensor
from toy import SEARCHES
from toy_engine import Player, Trial

from tts.engine.batching import Engine, rows_are_independent
from tts.engine.score_checks import first_dependent_score
from tts.errors import SettingError, WeightsError
from tts.noise import Noise, normal
from tts.plan import Condition
from tts.registry import MODELS
from tts.rewards.brightness import Brightness
from tts.rewards.compressibility import Compressibility
from tts.search.base import Problem
from tts.search.segment import ALL, Segment
from tts.search.ses import SES

PROMPTED = ["stable-diffusion", "stable-diffusion-xl"]
CONDITION: dict[str, Condition] = {"stable-diffusion": "a cat", "stable-diffusion-xl": "a cat", "dit": 207}
OTHER: dict[str, Condition] = {"stable-diffusion": "a dog", "stable-diffusion-xl": "a dog", "dit": 3}
SHAPE = (4, 8, 8)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every pipeline, and a decoder for previews, saved once."""
    folder = tmp_path_factory.mktemp("saved")
    found = {name: tiny_pipelines.save(make(), folder / name) for name, make in tiny_pipelines.PIPELINES.items()}
    return {**found, "preview": tiny_pipelines.save_tiny_autoencoder(folder / "preview")}


@pytest.fixture(scope="module")
def guided(saved: dict[str, Path]) -> dict[float, tuple[Any, Any]]:
    """Settings with a scale of guidance and the model, loaded once for all searches."""
    given = {"name": "stable-diffusion", "id": str(saved["stable-diffusion"]), "sampler": {"steps": 4}}
    settings = {scale: MODELS.make({**given, "guidance": scale})[1] for scale in (1.0, 4.0)}
    return {scale: (each, each.load()) for scale, each in settings.items()}


@pytest.fixture
def make(saved: dict[str, Path]) -> Any:
    """Settings of a model on tiny weights."""
    return lambda name, **values: MODELS.make(
        {"name": name, "id": str(saved[name]), "sampler": {"steps": 4}, **values}
    )[1]


pytestmark = pytest.mark.usefixtures("one_thread")


def latents(rows: int = 3) -> Tensor:
    return torch.stack([torch.from_numpy(normal(k, SHAPE)) for k in range(rows)])


@torch.inference_mode()
def denoised(model: Any, conditions: Sequence[Condition], time: float | None = None) -> Tensor:
    times = torch.full((len(conditions),), float(model.sampler.times[1] if time is None else time), dtype=torch.float64)
    return model.denoise(latents(len(conditions)), times, conditions)


@pytest.mark.parametrize("name", CONDITION)
def test_rows_are_independent(name: str, make: Any) -> None:
    model = make(name).load()
    rewards = {"brightness": Brightness().load(), "compressibility": Compressibility().load()}
    assert rows_are_independent(model, 5, CONDITION[name])
    assert first_dependent_score(model, rewards, 5, CONDITION[name]) is None


@pytest.mark.parametrize("name", CONDITION)
def test_the_condition_and_the_noise_decide_the_image(name: str, make: Any) -> None:
    player = Player(Engine(make(name).load(), {"brightness": Brightness().load()}, 4))
    steps = [(Noise(k), Noise(k + 1), Noise(k + 2), Noise(k + 3)) for k in (10, 20)]
    plain = Segment(Noise(1), steps[0], CONDITION[name], ALL)
    others = [
        Segment(Noise(2), steps[0], CONDITION[name], ALL),
        Segment(Noise(1), steps[1], CONDITION[name], ALL),
        Segment(Noise(1), steps[0], OTHER[name], ALL),
    ]
    images = [outcome.image for outcome in player.ask(plain, *others)]
    assert len(set(images)) == 4
    assert player.ask(plain)[0].image == images[0]


@pytest.mark.parametrize("guidance", [1.0, 4.0])
@pytest.mark.parametrize("search", SEARCHES)
def test_every_search_costs_what_it_says(search: str, guidance: float, guided: dict[float, tuple[Any, Any]]) -> None:
    """Guidance counts twice, and the winner's prediction is never paid for again."""
    settings, model = guided[guidance]
    engine = Engine(model, {"brightness": Brightness().load()}, 6)
    played = SEARCHES[search]
    if isinstance(played, SES):
        played = played.model_copy(update={"shape": engine.model.shape, "level": 1})
    trial = Trial(played, Problem("a cat", 1, settings.plan(), "brightness"))
    Player(engine).play([trial])
    engine.close()
    formula = played.nfe(settings.plan())
    assert trial.nfe == formula if played.exact else trial.nfe <= formula
    assert settings.plan().nfe() == 4 * (2 if guidance > 1 else 1)


@pytest.mark.parametrize("name", CONDITION)
def test_guidance_goes_on_from_without_to_with_a_condition(name: str, make: Any) -> None:
    """The prediction is linear in the network's output, and so in guidance."""
    with_condition, twice, thrice = (denoised(make(name, guidance=g).load(), [CONDITION[name]] * 2) for g in (1, 2, 3))
    torch.testing.assert_close(thrice - twice, twice - with_condition, rtol=1e-3, atol=1e-4)
    assert (twice - with_condition).abs().max() > 1e-3


@pytest.mark.parametrize("name", PROMPTED)
def test_prompts_are_encoded_once_each(name: str, make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make(name).load()
    encode, encoded = model.denoiser.network.encode, []
    monkeypatch.setattr(model.denoiser.network, "encode", lambda prompt: encoded.append(prompt) or encode(prompt))
    first = denoised(model, ["a", "b", "a"])
    again = denoised(model, ["a", "b", "a"])
    assert encoded == [None, "a", "b"]
    assert torch.equal(first, again)


def test_prompts_kept_are_bounded(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tts.models.prompts.KEPT_BYTES", 3 * 16 * 32 * 4)
    model = make("stable-diffusion").load()
    for letter in "abcdef":
        denoised(model, [letter])
    assert len(model.denoiser.network._recent) == 3


@pytest.mark.parametrize("name", PROMPTED)
def test_a_negative_prompt_is_led_away_from(name: str, make: Any) -> None:
    without, empty, dark = (
        denoised(make(name, negative_prompt=negative).load(), ["a cat"]) for negative in (None, "", "dark")
    )
    assert not torch.equal(empty, dark)
    assert torch.equal(without, empty) is (name == "stable-diffusion")  # SDXL has zeros in its place


@pytest.mark.parametrize("name", PROMPTED)
@pytest.mark.parametrize("wrong", ["", "  ", 3, None])
def test_prompts_are_texts(name: str, wrong: object, make: Any) -> None:
    with pytest.raises(SettingError, match="draws prompts"):
        make(name).condition(wrong)
    assert (make(name).condition("a cat"), make(name).label("a cat"), make(name).caption("a cat")) == ("a cat",) * 3
    assert make(name).conditions() == ()


def test_classes_are_indices_or_names(make: Any) -> None:
    model = make("dit")
    assert [model.condition(value) for value in (207, "207", "golden retriever")] == [207] * 3
    assert (model.label(207), model.caption(207)) == ("golden retriever", "a photo of a golden retriever")
    assert model.conditions() == tuple(range(1000))
    for wrong in (1000, -1, "golden retreiver"):
        with pytest.raises(SettingError, match=r"0 to 999|did you mean"):
            model.condition(wrong)


@pytest.mark.parametrize("name", PROMPTED)
def test_what_is_cut_of_a_long_prompt_is_said(name: str, make: Any, capfd: pytest.CaptureFixture[str]) -> None:
    notes = make(name).notes(["a cat", "a very very long dog"])
    assert notes == ["prompt 'a very very long dog' is longer than the 14 tokens that are read; cut: 'og'"]
    model = make(name).load()
    assert torch.equal(denoised(model, ["a very very long dog"]), denoised(model, ["a very very long dot"]))
    assert "truncated" not in capfd.readouterr().err  # libraries do not repeat the note


@pytest.mark.parametrize("name", CONDITION)
def test_images_are_decoded_as_the_pipelines_do(name: str, make: Any) -> None:
    model = make(name).load()
    x = latents(2)
    with torch.inference_mode():
        vae = make(name).pipeline().vae
        images = vae.decode(x / vae.config.scaling_factor).sample
        found = model.decode(x)
    expected = ((images / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
    assert torch.equal(found, expected)
    assert found.shape == (2, 3, 16, 16)


def test_size_is_of_the_images(make: Any) -> None:
    model = make("stable-diffusion", size=24).load()
    with torch.inference_mode():
        assert model.decode(torch.zeros(1, *model.shape)).shape == (1, 3, 24, 24)
    with pytest.raises(SettingError, match=r"size = 12: .*multiple of 8"):
        make("stable-diffusion", size=12)


def test_previews_are_for_predicted_images_only(make: Any, saved: dict[str, Path]) -> None:
    settings = make("stable-diffusion", preview=str(saved["preview"]))
    settings.check()
    model = settings.load()
    decoded: list[bool] = []
    decode = model.decode

    def spy(x: Tensor, preview: bool = False) -> Tensor:
        decoded.append(preview)
        return decode(x, preview)

    model.decode = spy
    player = Player(Engine(model, {"brightness": Brightness().load()}, 4))
    predicted = Segment(Noise(1), (Noise(2), Noise(3)), "a cat", "brightness")
    final = Segment(Noise(1), (Noise(2), Noise(3), Noise(4), Noise(5)), "a cat", "brightness")
    whole = Player(Engine(make("stable-diffusion").load(), {"brightness": Brightness().load()}, 4))
    [first], [last] = player.ask(predicted), player.ask(final)
    assert decoded == [True, False]
    assert first.scores != whole.ask(predicted)[0].scores
    assert last.scores == whole.ask(final)[0].scores


def test_previews_that_cannot_be_used_are_named(make: Any, saved: dict[str, Path], tmp_path: Path) -> None:
    for preview in ("/nowhere", str(tmp_path)):
        with pytest.raises(WeightsError, match=f"preview {preview}"):
            make("stable-diffusion", preview=preview).check()
    vae = saved["stable-diffusion"] / "vae"
    with pytest.raises(WeightsError, match=r"preview .*vae: cannot be loaded \(its vae has no weights for"):
        make("stable-diffusion", preview=str(vae)).load()


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
@pytest.mark.parametrize("name", CONDITION)
def test_lower_precision_is_near(name: str, precision: str, make: Any) -> None:
    last = make(name).stepper().times[-1]  # there the clean state is near the noisy one
    full = denoised(make(name).load(), [CONDITION[name]] * 2, time=last)
    model = make(name, precision=precision).load()
    half = denoised(model, [CONDITION[name]] * 2, time=last)
    assert (full.dtype, half.dtype) == (torch.float32, torch.float32)
    assert not torch.equal(half, full)
    assert (half - full).abs().max() < 0.05
    with torch.inference_mode():
        assert model.decode(half).dtype == torch.uint8


def test_sdxls_decoder_stays_in_float32_where_its_checkpoint_asks(make: Any) -> None:
    kept = make("stable-diffusion-xl", precision="fp16").pipeline()
    assert (kept.unet.dtype, kept.vae.dtype) == (torch.float16, torch.float32)
    assert make("stable-diffusion", precision="fp16").pipeline().vae.dtype == torch.float16


@pytest.mark.parametrize("name", CONDITION)
@pytest.mark.parametrize(
    "wrong", [{"eta": 1.5}, {"guidance": 0.5}, {"sampler": {"steps": 0}}, {"precision": "fp8"}, {"gidance": 3}]
)
def test_settings_without_meaning_are_refused(name: str, wrong: dict[str, Any], make: Any) -> None:
    with pytest.raises(SettingError, match=next(iter(wrong))):
        make(name, **wrong)
