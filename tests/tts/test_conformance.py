"""Samplers, models and rewards keep to the rules of :mod:`tts.testing`, and the rules catch those that do not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import fake_pyiqa
import numpy as np
import pandas as pd
import pytest
import tiny_judges
import tiny_pipelines
import tiny_rewards
import torch
from noise_table import Shifted
from own_metrics import ColourSpread
from pydantic import Field
from reward_servers import brightness_service, serving
from torch import Tensor

from tts.metrics.base import Metric, MetricSettings, MetricValue
from tts.metrics.frechet_judge import FrechetJudge
from tts.models.base import Model, ModelSettings
from tts.models.cifar10 import Cifar10
from tts.models.classes import class_index
from tts.plan import Condition, Plan
from tts.registry import MODELS, REWARDS
from tts.rewards.base import Caption, Reward, RewardSettings, Score
from tts.samplers.base import Call, Position, Sampler, Step
from tts.samplers.ddim import DDIMSettings
from tts.samplers.heun import StochasticHeun
from tts.samplers.interpolant import InterpolantSettings
from tts.samplers.settings import SamplerSettings
from tts.testing import MetricConformance, ModelConformance, RewardConformance, SamplerConformance, Violation
from tts.testing.toy_model import BrokenModel, CrowdedModel, ToyModel

SAMPLERS: dict[str, SamplerSettings | Sampler] = {
    "heun": StochasticHeun(),
    "heun without churn": StochasticHeun(steps=3, S_churn=0),
    "ddim": DDIMSettings(steps=5),
    "ddim without noise": DDIMSettings(steps=4, eta=0.0),
    "interpolant of a flow": InterpolantSettings(steps=5).on(Shifted()),
    "interpolant, half": InterpolantSettings.model_validate({"steps": 5, "noise": {"share": 0.5}}),
    "interpolant, published": InterpolantSettings.model_validate({"steps": 5, "noise": {"kind": "flow_grpo"}}).on(
        Shifted()
    ),
    "ddim of a checkpoint": tiny_pipelines.ddim(tiny_pipelines.SCHEDULE, 5, 1.0, None),
}


pytestmark = pytest.mark.usefixtures("one_thread")


class TestSamplers(SamplerConformance):
    """Every sampler."""

    @pytest.fixture(params=SAMPLERS)
    def sampler(self, request: pytest.FixtureRequest) -> SamplerSettings | Sampler:
        return SAMPLERS[request.param]


class TestEmbeddedModel(ModelConformance):
    """The embedded model."""

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls) -> ModelSettings:
        return Cifar10(sampler=StochasticHeun(steps=4))


class TestPipelines(ModelConformance):
    """Models in diffusers' form; their plans and classes come from diffusers' files, by diffusers."""

    @pytest.fixture(scope="class", params=tiny_pipelines.PIPELINES)
    @classmethod
    def model(cls, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ModelSettings:
        folder = tiny_pipelines.save(tiny_pipelines.PIPELINES[request.param](), tmp_path_factory.mktemp("pipeline"))
        return MODELS.make({"name": request.param, "id": str(folder), "steps": 3, "eta": 1.0})[1]


@pytest.fixture(scope="module")
def blocks() -> Iterator[int]:
    """A shallow DINOv2; the value is its number of blocks."""
    with pytest.MonkeyPatch.context() as patch:
        yield tiny_rewards.shallow(patch)


@pytest.fixture(scope="module")
def scorers(blocks: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, RewardSettings]]:
    """Every reward of the package, those with published weights on small ones, the remote one with a service."""
    folder, two = tmp_path_factory.mktemp("rewards"), ["brightness", "compressibility"]
    settings: dict[str, dict[str, Any]] = {
        **(small := tiny_rewards.all_settings(folder / "weights")),
        "clip_classes": {"model": small["clip"]["model"]},
        **tiny_judges.all_settings(folder / "judges", [f"a photo of {k}" for k in range(6)]),
        "dino_classes": tiny_rewards.dino_classes(folder, blocks)[0],
        "weighted": {"of": [{"reward": name} for name in two]},
        "rank_average": {"of": two, "reference": str(folder)},
    }
    (folder / "trials").mkdir()
    scores = pd.DataFrame({"search": "naive", **{f"score_{name}": [0.4, 0.5, 0.6] for name in two}})
    scores.to_parquet(folder / "trials" / "part-0.parquet")
    with serving(brightness_service) as url, pytest.MonkeyPatch.context() as patch:
        fake_pyiqa.install(patch)
        settings["remote"] = {"url": url}
        yield {name: REWARDS.make({"name": name, **settings.get(name, {})})[1] for name in REWARDS.targets}


class TestRewards(RewardConformance):
    """Every reward."""

    @pytest.fixture(scope="class", params=sorted(REWARDS.targets))
    @classmethod
    def reward(cls, request: pytest.FixtureRequest, scorers: dict[str, RewardSettings]) -> RewardSettings:
        return scorers[request.param]


class Formula(ModelSettings):
    """A model of one formula, for the faulty ones to be made of."""

    sampler: StochasticHeun = Field(default_factory=lambda: StochasticHeun(steps=4))

    def plan(self) -> Plan:
        return self.sampler.plan

    def condition(self, value: object) -> Condition:
        return class_index(value, 3)

    def conditions(self) -> tuple[Condition, ...]:
        return (0, 1, 2)

    def label(self, condition: Condition) -> str:
        return f"class {condition}"

    def check(self) -> None:
        pass

    def identity(self) -> dict[str, Any]:
        return self.record()

    def load(self, device: str = "cpu") -> Model:
        return self.made()

    def made(self) -> ToyModel:
        return ToyModel(self.sampler)


class Wrapping(ToyModel):
    def decode(self, x: Tensor, preview: bool = False) -> Tensor:
        return ((x + 1) * 127.5).round().to(torch.int64).to(torch.uint8)


class Floating(ToyModel):
    def decode(self, x: Tensor, preview: bool = False) -> Tensor:
        return ((x + 1) / 2).clamp(0, 1)


class Flat(ToyModel):
    def decode(self, x: Tensor, preview: bool = False) -> Tensor:
        return super().decode(x)[:, 0]


class Doubled(ToyModel):
    def denoise(self, x: Tensor, levels: Tensor, conditions: Sequence[Condition]) -> Tensor:
        return super().denoise(x, levels, conditions).double()


class Smaller(ToyModel):
    def denoise(self, x: Tensor, levels: Tensor, conditions: Sequence[Condition]) -> Tensor:
        return super().denoise(x, levels, conditions)[..., :4]


class Drawing(ToyModel):
    def denoise(self, x: Tensor, levels: Tensor, conditions: Sequence[Condition]) -> Tensor:
        return super().denoise(x, levels, conditions) + 0.1 * torch.randn(x.shape[1:])


class Deaf(ToyModel):
    def denoise(self, x: Tensor, levels: Tensor, conditions: Sequence[Condition]) -> Tensor:
        return 0 * x + 0.3


class Guided(ToyModel):
    passes = 2


def of(kind: type[ToyModel]) -> type[Formula]:
    """Settings of a faulty model."""
    return type(kind.__name__, (Formula,), {"made": lambda self: kind(self.sampler), "__module__": __name__})


class Nameless(Formula):
    def label(self, condition: Condition) -> str:
        return ""


class Unsteady(Formula):
    def identity(self) -> dict[str, Any]:
        return {"at": id(self)}


class Tupled(Formula):
    def identity(self) -> dict[str, Any]:
        return {"sizes": (1, 2)}


class Polite(Formula):
    def condition(self, value: object) -> Condition:
        return value if isinstance(value, int) else 0


class Crashing(Formula):
    def condition(self, value: object) -> Condition:
        return int(value)  # type: ignore[call-overload, no-any-return]


class Shifting(Formula):
    def condition(self, value: object) -> Condition:
        return super().condition(value) + 1  # type: ignore[operator]


class OtherPlan(Formula):
    def plan(self) -> Plan:
        return StochasticHeun(steps=5).plan


FAULTY_MODELS: dict[str, tuple[type[Formula], str, str]] = {
    "rows": (of(CrowdedModel), "rows", "a row's prediction depends on the rows beside it"),
    "NaN": (of(BrokenModel), "answers", "denoise() answers NaN or infinity at level"),
    "wraps": (of(Wrapping), "images", "decode() turns white into black"),
    "floats": (of(Floating), "images", "decode() gives torch.float32; end with .clamp(0, 255).to(torch.uint8)"),
    "flat": (of(Flat), "images", "decode() gives [4, 8, 8] for 4 states"),
    "doubles": (of(Doubled), "answers", "denoise() answers in torch.float64; end with .float()"),
    "smaller": (of(Smaller), "answers", "denoise() answers [4, 3, 8, 4] to states of [4, 3, 8, 8]"),
    "draws": (of(Drawing), "trajectories", "the same noises give two images; denoise() must draw nothing"),
    "deaf": (of(Deaf), "trajectories", "other noises give the same image"),
    "passes": (of(Guided), "trajectories", "a trajectory costs 14 forwards where plan() says 7"),
    "label": (Nameless, "conditions", "label(0) is ''; give a text"),
    "unsteady": (Unsteady, "identity", "identity() differs between two objects with the same settings"),
    "tuples": (Tupled, "identity", "identity() changes when it is written as JSON and read again"),
    "polite": (Polite, "conditions", "condition(None) gives 0; raise a SettingError"),
    "crashing": (Crashing, "conditions", "condition(None) raises TypeError; raise a SettingError"),
    "shifting": (Shifting, "conditions", "condition(0) becomes 1; a condition in its one form stays as it is"),
    "plan": (OtherPlan, "form", "plan() of the settings is another than the loaded model's sampler's"),
    "torch": (Formula, "without_torch", "torch is imported); import torch inside load() and denoise()"),
}


@pytest.mark.parametrize("fault", FAULTY_MODELS)
def test_a_faulty_model_is_told_what_is_wrong(fault: str) -> None:
    kind, rule, message = FAULTY_MODELS[fault]
    with pytest.raises(Violation, match=re.escape(message)):
        getattr(ModelConformance(), f"test_{rule}")(kind())


def test_a_model_of_one_formula_keeps_to_the_rules() -> None:
    """All but that its module, which is this one, imports torch."""
    model = Formula()
    for name, check in vars(ModelConformance).items():
        if name.startswith("test_") and name != "test_without_torch":
            check(ModelConformance(), model)


class Mean(RewardSettings):
    """Mean brightness in a way that can go wrong."""

    how: str = "right"

    def load(self, device: str = "cpu", caption: Caption = str) -> Reward:
        return MeanReward(self.how)


class MeanReward:
    """Scores as it is told."""

    host = True

    def __init__(self, how: str) -> None:
        self.how, self.calls = how, 0

    def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[Score]:
        self.calls += 1
        values = images.float().mean(dim=(1, 2, 3)) / 255
        result: Any = {
            "right": values.tolist,
            "tensor": lambda: values,
            "numbers": lambda: [*values],
            "fewer": lambda: values.tolist()[1:],
            "relative": lambda: (values - values.mean()).tolist(),
            "sorted": lambda: sorted(values.tolist()),
            "counting": lambda: [value + self.calls for value in values.tolist()],
            "nan": lambda: (values / values).tolist(),
            "writes": lambda: images.zero_().float().mean(dim=(1, 2, 3)).tolist(),
            "unscored": lambda: [None if value > 0.5 else value for value in values.tolist()],
        }
        return result[self.how]()  # type: ignore[no-any-return]


FAULTY_REWARDS = {
    "tensor": ("values", "score() gives a Tensor; give a list: .tolist()"),
    "numbers": ("values", "a value is a Tensor; give Python's floats"),
    "fewer": ("values", "score() gives 0 values for 1 images"),
    "nan": ("values", "a value is nan; give None for an image that cannot be scored"),
    "relative": ("rows", "use no statistics over the batch"),
    "sorted": ("order", "images in the opposite order have other values"),
    "counting": ("repeats", "draw nothing at random, and keep nothing between calls"),
    "writes": ("images", "score() writes into the images"),
}


@pytest.mark.parametrize("how", FAULTY_REWARDS)
def test_a_faulty_reward_is_told_what_is_wrong(how: str) -> None:
    rule, message = FAULTY_REWARDS[how]
    with pytest.raises(Violation, match=re.escape(message)):
        getattr(RewardConformance(), f"test_{rule}")(Mean(how=how))


@pytest.mark.parametrize("how", ["right", "unscored"])
def test_a_sound_reward_keeps_to_the_rules(how: str) -> None:
    reward = Mean(how=how)
    for name, check in vars(RewardConformance).items():
        if name.startswith("test_"):
            check(RewardConformance(), reward)


class Walk:
    """A sampler of three steps in a straight line, with a fault."""

    def __init__(self, fault: str = "") -> None:
        self.fault, self.memory = fault, 0.0

    @property
    def plan(self) -> Plan:
        injects = (True, self.fault != "silent", self.fault == "loud")
        return Plan((2 if self.fault == "costs" else 1,) * 3, injects[: 2 if self.fault == "plan" else 3])

    def initial(self, noise: Tensor) -> Step:
        if self.fault == "writes":
            noise *= 2
        return Position(noise, noise)
        yield

    def back(self, at: Position, index: int, to: int, noise: Tensor) -> Step:
        x = at.x + (0.0 if self.fault == "stays" else 0.1 * (index - to)) * noise
        if self.fault == "predicts":
            x = yield Call(x, 1.0)
        return Position(x, x)

    def step(self, at: Position, index: int, noise: Tensor | None) -> Step:
        x = at.x + 0.1 * noise if noise is not None and index < 2 else at.x
        if self.fault == "overwrites":
            x = at.x.mul_(0.9)
        if self.fault == "remembers":
            self.memory += 0.1
            x = x + self.memory
        if self.fault == "draws":
            x = x + torch.randn(x.shape)
        D = yield Call(x.double() if self.fault == "dtype" else x, 3.0 - index)
        self.memory = 0.0 if self.fault == "remembers" and index == 2 else self.memory
        x = x + 0.3 * (D - x)
        return Position(x, x if index == 2 and self.fault != "end" else D)


FAULTY_SAMPLERS = {
    "plan": ("plan", "its plan has 3 costs and 2 injections"),
    "costs": ("costs", "step 0 makes 1 calls with a noise where plan.nfe_per_step says 2"),
    "silent": ("injections", "step 1: plan.injects says False, but another noise changes its result"),
    "loud": ("injections", "step 2: plan.injects says True, but another noise does not change its result"),
    "writes": ("arguments", "initial() writes into its noise"),
    "overwrites": ("arguments", "step 0 writes into the position it starts from"),
    "remembers": ("repeats", "ends elsewhere when another one runs beside it"),
    "draws": ("repeats", "ends elsewhere when another one runs beside it"),
    "predicts": ("back", "back() makes 1 calls where plan.back says 0"),
    "stays": ("back", "back() from step 1 to 0 does not use its noise"),
    "dtype": ("form", "a call is torch.float64 where states are torch.float32"),
    "end": ("end", "the last position's 'predicted' is not its 'x'"),
}


@pytest.mark.parametrize("fault", FAULTY_SAMPLERS)
def test_a_faulty_sampler_is_told_what_is_wrong(fault: str) -> None:
    rule, message = FAULTY_SAMPLERS[fault]
    with pytest.raises(Violation, match=re.escape(message)):
        getattr(SamplerConformance(), f"test_{rule}")(Walk(fault))


def test_a_sound_sampler_keeps_to_the_rules() -> None:
    for name, check in vars(SamplerConformance).items():
        if name.startswith("test_"):
            check(SamplerConformance(), Walk())


class TestMetrics(MetricConformance):
    """Our own metric, and one as a user would write it."""

    @pytest.fixture(scope="class", params=[FrechetJudge, ColourSpread])
    @classmethod
    def metric(cls, request: pytest.FixtureRequest) -> MetricSettings:
        return request.param()  # type: ignore[no-any-return]


class Greys(MetricSettings):
    """Mean grey in a way that can go wrong."""

    how: str = "right"

    @property
    def extractor(self) -> str:
        return "" if self.how == "nameless" else "mean grey"

    def load(self, device: str = "cpu") -> Metric:
        return GreyFeatures(self.how)

    def aggregate(self, features: Any, reference: Any) -> MetricValue:
        value = float(features.mean())
        found: dict[str, Any] = {
            "bare": value,
            "numpy": MetricValue(np.float32(value)),  # type: ignore[arg-type]
            "outside": MetricValue(value, value + 1, value + 2),
            "first": MetricValue(float(features[0, 0])),
        }
        if self.how == "overwrites":
            features[:] = 0
        return found.get(self.how, MetricValue(value, value - 1, value + 1))  # type: ignore[no-any-return]


class GreyFeatures:
    """Features as it is told."""

    host = True

    def __init__(self, how: str) -> None:
        self.how = how

    def features(self, images: Tensor) -> Tensor:
        grey = images.float().mean(dim=(1, 2, 3))[:, None]
        if self.how == "writes":
            images.zero_()
        found = {
            "flat": grey[:, 0],
            "doubles": grey.double(),
            "infinite": grey / 0,
            "growing": grey.expand(-1, len(grey)),
            "relative": grey - grey.mean(),
            "draws": grey + torch.rand(1),
            "list": grey.tolist(),
        }
        return found.get(self.how, grey)  # type: ignore[return-value]


FAULTY_METRICS = {
    "nameless": ("identity", "its extractor is ''"),
    "list": ("form", "features() gives a list; give a tensor"),
    "flat": ("form", "features() gives [1] for 1 images; give [B, F]"),
    "doubles": ("form", "features() gives torch.float64; end with .float()"),
    "infinite": ("form", "features() gives NaN or infinity"),
    "growing": ("form", "features() gives vectors of [1, 3, 6] numbers"),
    "relative": ("rows", "use no statistics over the batch"),
    "draws": ("repeats", "the same images have other features again"),
    "writes": ("repeats", "features() writes into the images"),
    "bare": ("value", "aggregate() gives a float; give a MetricValue"),
    "numpy": ("value", "give Python's floats"),
    "outside": ("value", "does not hold its value"),
    "overwrites": ("value", "aggregate() writes into the features"),
    "first": ("value", "of the same images in another order"),
}


@pytest.mark.parametrize("how", FAULTY_METRICS)
def test_a_faulty_metric_is_told_what_is_wrong(how: str) -> None:
    rule, message = FAULTY_METRICS[how]
    with pytest.raises(Violation, match=re.escape(message)):
        getattr(MetricConformance(), f"test_{rule}")(Greys(how=how))


def test_a_sound_metric_keeps_to_the_rules() -> None:
    metric = Greys()
    for name, check in vars(MetricConformance).items():
        if name.startswith("test_"):
            check(MetricConformance(), metric)
