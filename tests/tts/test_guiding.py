"""Guidance as configurations name it: what a network is told, the cost, and unsupported kinds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import edm_pickles
import pytest
import tiny_pipelines
import torch
from checks_of_models import MODELS as CHECKS
from diffusers import LatentConsistencyModelPipeline, LCMScheduler, StableDiffusionPipeline
from torch import Tensor
from toy_engine import Player

from tts.engine.batching import Engine, rows_are_independent
from tts.errors import SettingError, WeightsError
from tts.models.edm import EDM
from tts.models.guidance import Autoguidance, ClassifierFree, Embedded, Unguided
from tts.networks.guidance_embedding import guidance_embedding
from tts.noise import Noise, normal
from tts.registry import MODELS
from tts.rewards.brightness import Brightness
from tts.samplers.base import Call, drive, follow
from tts.search.segment import ALL, Segment

PROMPTED = ["stable-diffusion", "stable-diffusion-xl"]
WIDTH, SHAPE, STEPS = 24, (4, 8, 8), 3


def told(name: str, seed: int = 0) -> Any:
    """A pipeline whose UNet is told the guidance scale."""
    pipeline: Any = tiny_pipelines.PIPELINES[name](seed)
    given = {key: value for key, value in pipeline.unet.config.items() if not key.startswith("_")}
    torch.manual_seed(seed)
    unet = tiny_pipelines.unet(**{**given, "time_cond_proj_dim": WIDTH})
    torch.nn.init.normal_(unet.time_embedding.cond_proj.weight, std=0.3)
    pipeline.register_modules(unet=unet)
    return pipeline


def consistency() -> LatentConsistencyModelPipeline:
    """A latent consistency model in its published form."""
    parts = told("stable-diffusion").components
    given = {key: parts[key] for key in ("vae", "text_encoder", "tokenizer", "unet", "safety_checker")}
    schedule = LCMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1)
    return LatentConsistencyModelPipeline(
        **given, scheduler=schedule, feature_extractor=None, requires_safety_checker=False
    )


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Pipelines with and without an embedding of the scale, and weaker ones."""
    folder = tmp_path_factory.mktemp("saved")
    plain = {name: make() for name, make in tiny_pipelines.PIPELINES.items()}
    weaker = {f"weaker {name}": make(1) for name, make in tiny_pipelines.PIPELINES.items()}
    embedded = {f"told {name}": told(name) for name in PROMPTED}
    pipelines = {**plain, **weaker, **embedded, "lcm": consistency()}
    pipelines["another schedule"] = tiny_pipelines.dit(1, prediction_type="v_prediction")
    return {name: tiny_pipelines.save(pipeline, folder / name) for name, pipeline in pipelines.items()}


@pytest.fixture
def make(saved: dict[str, Path]) -> Any:
    """Settings of a model on one of them."""

    def made(name: str, which: str = "", **values: Any) -> Any:
        given = {"name": name, "id": str(saved[which or name]), "sampler": {"steps": STEPS, "eta": 0}}
        return MODELS.make({**given, **values})[1]

    return made


@pytest.fixture(autouse=True)
def _inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


def latents(rows: int = 2) -> Tensor:
    return torch.stack([torch.from_numpy(normal(k, SHAPE)) for k in range(rows)])


def denoised(model: Any, conditions: list[Any], time: float = 501.0) -> Tensor:
    answer: Tensor = model.denoise(latents(), torch.full((2,), time, dtype=torch.float64), conditions)
    return answer


@pytest.mark.parametrize("width", [4, 5, 24, 256, 257])
def test_the_scale_is_embedded_as_lcms_is(width: int) -> None:
    pipeline: Any = LatentConsistencyModelPipeline
    scales = torch.tensor([1.0, 1.5, 4.3, 8.5], dtype=torch.float64)
    expected = pipeline.get_guidance_scale_embedding(None, (scales - 1).float(), width)
    assert torch.equal(guidance_embedding(scales, width), expected)


@pytest.mark.parametrize("scale", [1.0, 4.3, 8.5])
def test_the_unet_is_asked_as_lcms_pipeline_asks_it(scale: float, make: Any) -> None:
    pipeline = consistency()
    asked: list[Any] = []

    def hook(_: Any, given: tuple[Any, ...], named: dict[str, Any], answer: Any) -> None:
        asked.append((given[0], int(given[1]), named["timestep_cond"], answer[0]))

    pipeline.unet.register_forward_hook(hook, with_kwargs=True)
    pipeline.set_progress_bar_config(disable=True)
    prompts: Any = ["a cat", "dog"]
    options = {"num_inference_steps": STEPS, "guidance_scale": scale, "output_type": "latent"}
    pipeline(prompts, latents=latents(), generator=torch.Generator().manual_seed(0), **options)
    settings = make("stable-diffusion", "lcm", guidance=scale)
    settings.check()
    model = settings.load()
    assert (model.passes, settings.plan().nfe(), len(asked)) == (1, STEPS, STEPS)
    for x, time, _, answer in asked:
        found = model.denoiser.guidance(model.denoiser.network, x, torch.full((2,), time), prompts)
        assert float((found - answer).abs().max()) == CHECKS["lcm"].near(0)


@pytest.mark.parametrize("scale", [1.0, 6.0])
@pytest.mark.parametrize("name", PROMPTED)
def test_images_are_the_pipelines(name: str, scale: float, make: Any) -> None:
    """diffusers' own Stable Diffusion and SDXL pipelines tell such a UNet the scale, too."""
    pipeline, model = told(name), make(name, f"told {name}", guidance=scale).load()
    x = latents()

    def answer(call: Call) -> Tensor:
        return denoised_at(model, call)

    found = model.decode(drive(follow(model.sampler, x, [None] * STEPS), answer).x)
    pipeline.set_progress_bar_config(disable=True)
    options = {"num_inference_steps": STEPS, "guidance_scale": scale, "output_type": "pt"}
    images = pipeline(["a cat", "a cat"], latents=x.clone(), height=16, width=16, **options).images
    off = (found.int() - (images * 255).round().int()).abs().max()
    assert int(off) == CHECKS["told-images"].near(0)


def denoised_at(model: Any, call: Call) -> Tensor:
    answer: Tensor = model.denoise(call.x, torch.full((2,), call.level, dtype=torch.float64), ["a cat"] * 2)
    return answer


@pytest.mark.parametrize("name", PROMPTED)
def test_the_scale_decides_the_answer(name: str, make: Any) -> None:
    """Without the embedding, all scales give the same answer, and it differs."""
    one, six = (make(name, f"told {name}", guidance=scale).load() for scale in (1, 6))
    assert (denoised(one, ["a cat"] * 2) - denoised(six, ["a cat"] * 2)).abs().max() > 1e-3
    assert rows_are_independent(six, 4, "a cat")
    named = make(name, f"told {name}", guidance={"name": "embedded", "scale": 6}).load()
    assert torch.equal(denoised(named, ["a cat"] * 2), denoised(six, ["a cat"] * 2))
    none = make(name, f"told {name}", guidance="none").load()
    assert torch.equal(denoised(none, ["a cat"] * 2), denoised(one, ["a cat"] * 2))


def test_kinds_by_name_are_those_of_before(make: Any) -> None:
    model = {"number": 4, "name": {"name": "classifier_free", "scale": 4}, "none": "none", "one": 1}
    loaded = {key: make("dit", guidance=value).load() for key, value in model.items()}
    assert [each.denoiser.guidance for each in loaded.values()] == [ClassifierFree(4)] * 2 + [Unguided()] * 2
    assert torch.equal(denoised(loaded["number"], [1, 2]), denoised(loaded["name"], [1, 2]))
    assert make("stable-diffusion", "lcm").load().denoiser.guidance == Embedded(7.5)


def test_numbers_are_recorded_as_before(make: Any) -> None:
    assert make("stable-diffusion").record()["guidance"] == 7.5
    assert make("stable-diffusion", guidance="4").identity()["guidance"] == 4.0
    assert make("dit").identity()["guidance"] == 4.0
    assert EDM(checkpoint="x.pkl").record().keys() == {"checkpoint", "classes", "precision", "sampler"}


@pytest.mark.parametrize("given", [7.5, "none", {"name": "embedded", "scale": 3}, {"name": "autoguidance", "scale": 2}])
def test_kinds_are_written_and_read_again(given: Any, make: Any, saved: dict[str, Path]) -> None:
    if isinstance(given, dict) and given["name"] == "autoguidance":
        given = {**given, "id": str(saved["weaker dit"])}
    settings = make("dit", guidance=given)
    assert type(settings).model_validate(settings.record()) == settings


REFUSED: dict[str, tuple[str, str, Any, str]] = {
    "twice": ("stable-diffusion", "lcm", {"name": "classifier_free", "scale": 3}, "is told the scale and asked once"),
    "weaker": ("stable-diffusion", "lcm", {"name": "autoguidance", "scale": 3, "id": "x"}, "write guidance: 3"),
    "not told": ("stable-diffusion", "", {"name": "embedded", "scale": 3}, "not told a scale .*time_cond_proj_dim"),
    "a dit": ("dit", "", {"name": "embedded", "scale": 3}, "not told a scale"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_network_is_not_made_for_is_refused(case: str, make: Any) -> None:
    name, which, given, message = REFUSED[case]
    settings = make(name, which, guidance=given)
    for use in ("check", "plan", "load"):
        with pytest.raises(SettingError, match=rf"^guidance {given['name']}: [^\n]*{message}"):
            getattr(settings, use)()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (0.5, "guidance: scale = 0.5"),
        (True, "guidance: expected a number or"),
        ([3], "guidance: expected a number or"),
        ({"scale": 3}, "known: none, classifier_free, embedded, autoguidance"),
        ("embeded", "did you mean 'embedded'"),
        ({"name": "embedded"}, "guidance embedded: 'scale' is missing"),
        ({"name": "embedded", "scale": 3, "skale": 3}, "unknown key 'skale'; did you mean 'scale'"),
        ({"name": "none", "scale": 3}, "guidance none: unknown key 'scale'"),
        ({"name": "autoguidance", "scale": 2}, "guidance autoguidance: 'id' is missing"),
    ],
)
def test_what_cannot_be_read_is_named(given: Any, message: str, make: Any) -> None:
    with pytest.raises(SettingError, match=message):
        make("stable-diffusion", guidance=given)


def test_a_negative_prompt_has_no_use_where_nothing_is_asked_twice(make: Any) -> None:
    with pytest.raises(SettingError, match="negative_prompt: embedded guidance leads away from no prompt"):
        make("stable-diffusion", "lcm", negative_prompt="dark").check()


@pytest.mark.parametrize("name", tiny_pipelines.PIPELINES)
def test_a_weaker_pipeline_is_led_away_from(name: str, make: Any, saved: dict[str, Path]) -> None:
    conditions: list[Any] = [1, 2] if name == "dit" else ["a cat", "dog"]
    given = {"name": "autoguidance", "scale": 2.5, "id": str(saved[f"weaker {name}"])}
    settings = make(name, guidance=given)
    settings.check()
    model = settings.load()
    own, weak = (make(name, which, guidance=1).load() for which in (name, f"weaker {name}"))
    x, times = latents(), torch.full((2,), 501)
    answers = [each.denoiser.network(x, times, conditions).float() for each in (own, weak)]
    assert isinstance(model.denoiser.guidance, Autoguidance)
    found = model.denoiser.guidance(model.denoiser.network, x, times, conditions)
    assert torch.equal(found, answers[1] + 2.5 * (answers[0] - answers[1]))
    assert settings.plan().nfe() == 2 * make(name, guidance=1).plan().nfe()
    identity = settings.identity()["guidance"]
    assert str(saved["lcm"].parent) not in str(identity)
    assert identity["weights"] == make(name, f"weaker {name}").identity()["weights"]


def test_a_weaker_pipeline_of_another_kind_is_refused(make: Any, saved: dict[str, Path]) -> None:
    for id, message in (
        ("another schedule", "has another kind of prediction than"),
        ("stable-diffusion", "holds a StableDiffusionPipeline, not a DiTPipeline"),
    ):
        with pytest.raises(WeightsError, match=message):
            make("dit", guidance={"name": "autoguidance", "scale": 2, "id": str(saved[id])}).check()


@pytest.fixture(scope="module")
def pickles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A network, a weaker one, one without labels and one of another size."""
    folder, tiny = tmp_path_factory.mktemp("pickles"), edm_pickles.TINY
    changes = {"it": {}, "weaker": {}, "without": {"label_dim": 0}, "larger": {"img_resolution": 32}}
    networks = {name: edm_pickles.network(k, **{**tiny, **more}) for k, (name, more) in enumerate(changes.items())}
    return {name: str(edm_pickles.save(network, folder / f"{name}.pkl")) for name, network in networks.items()}


@pytest.mark.parametrize("which", ["weaker", "without"])
def test_an_edm_network_leads_away_from_another(which: str, pickles: dict[str, str]) -> None:
    classes = edm_pickles.TINY["label_dim"]
    own = {0: 0, classes: classes}[0 if which == "without" else classes]
    given = {"name": "autoguidance", "scale": 2, "checkpoint": pickles[which], "classes": own}
    settings = EDM(checkpoint=pickles["it"], classes=classes, guidance=given, sampler={"steps": 3})
    settings.check()
    model, plain = settings.load(), EDM(checkpoint=pickles["it"], classes=classes).load()
    weak = EDM(checkpoint=pickles[which], classes=own).load()
    x, levels = torch.randn(2, *model.shape), torch.tensor([2.0, 0.5], dtype=torch.float64)
    answers = [each.denoise(x, levels, [0, 1]) for each in (plain, weak)]
    assert torch.equal(model.denoise(x, levels, [0, 1]), answers[1] + 2 * (answers[0] - answers[1]))
    assert type(settings).model_validate(settings.record()) == settings
    assert settings.identity() != EDM(checkpoint=pickles["it"], classes=classes, sampler={"steps": 3}).identity()
    engine = Engine(model, {"brightness": Brightness().load()}, 1)
    [outcome] = Player(engine).ask(Segment(Noise(1), (None,) * 3, 1, ALL))
    engine.close()
    assert outcome.nfe == settings.plan().nfe() == 2 * 5


def test_an_edm_network_of_another_size_is_refused(pickles: dict[str, str]) -> None:
    given = {"name": "autoguidance", "scale": 2, "checkpoint": pickles["larger"]}
    settings = EDM(checkpoint=pickles["it"], classes=edm_pickles.TINY["label_dim"], guidance=given)
    for use in ("check", "load"):
        with pytest.raises(WeightsError, match=r"larger\.pkl: draws .* at 32 pixels, and the network .*be mixed"):
            getattr(settings, use)()
    with pytest.raises(ValueError, match="known: none, autoguidance"):
        EDM(guidance=3)


def test_diffusers_still_asks_for_both_kinds() -> None:
    """The meaning of a plain number in a configuration depends on this."""
    pipeline = told("stable-diffusion")
    assert isinstance(pipeline, StableDiffusionPipeline)
    pipeline._guidance_scale = 7.5
    assert not pipeline.do_classifier_free_guidance
