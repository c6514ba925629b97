"""Models keep to the rules of :mod:`tts.testing`, and the rules catch those that do not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pytest
import tiny_pipelines
import torch
from pydantic import Field
from torch import Tensor

from tts.models.base import Model, ModelSettings
from tts.models.cifar10 import Cifar10
from tts.models.classes import class_index
from tts.plan import Condition, Plan
from tts.registry import MODELS
from tts.samplers.heun import StochasticHeun
from tts.testing import ModelConformance, Violation
from tts.testing.toy_model import BrokenModel, CrowdedModel, ToyModel

pytestmark = pytest.mark.usefixtures("one_thread")


class TestEmbeddedModel(ModelConformance):
    """The embedded model."""

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls) -> ModelSettings:
        return Cifar10(sampler=StochasticHeun(steps=4))


class TestPipelines(ModelConformance):
    """Models in diffusers' form; diffusers reads their plans and classes, so these need torch."""

    @pytest.fixture(scope="class", params=tiny_pipelines.PIPELINES)
    @classmethod
    def model(cls, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ModelSettings:
        folder = tiny_pipelines.save(tiny_pipelines.PIPELINES[request.param](), tmp_path_factory.mktemp("pipeline"))
        return MODELS.make({"name": request.param, "id": str(folder), "steps": 3, "eta": 1.0})[1]


class Formula(ModelSettings):
    """A model of one formula, from which the faulty ones are derived."""

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
    """It breaks only the rule that its module must not import torch, as this test file does."""
    model = Formula()
    for name, check in vars(ModelConformance).items():
        if name.startswith("test_") and name != "test_without_torch":
            check(ModelConformance(), model)
