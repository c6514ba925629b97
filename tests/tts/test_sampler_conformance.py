"""Every sampler keeps to the rules of :mod:`tts.testing`, and the rules catch those that do not."""

from __future__ import annotations

import re

import pytest
import torch
from noise_table import Shifted
from tiny_schedules import SCHEDULE, ddim
from torch import Tensor

from tts.plan import Plan
from tts.samplers.base import Call, Position, Sampler, Step
from tts.samplers.ddim import DDIMSettings
from tts.samplers.heun import StochasticHeun
from tts.samplers.interpolant import InterpolantSettings
from tts.samplers.settings import SamplerSettings
from tts.testing import SamplerConformance, Violation
from tts.testing.checking import rules

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
    "ddim of a checkpoint": ddim(SCHEDULE, 5, 1.0, None),
}


pytestmark = pytest.mark.usefixtures("one_thread")


class TestSamplers(SamplerConformance):
    """Every sampler."""

    @pytest.fixture(params=SAMPLERS)
    def sampler(self, request: pytest.FixtureRequest) -> SamplerSettings | Sampler:
        return SAMPLERS[request.param]


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
        seen = at.x if self.fault == "late" else x.double() if self.fault == "dtype" else x
        D = yield Call(seen, 3.0 - index)
        self.memory = 0.0 if self.fault == "remembers" and index == 2 else self.memory
        if self.fault == "multistep":
            previous, self.memory = self.memory, float(D.mean())
            x = x + (0.1 * previous if index else 0.0)
        x = x + 0.3 * (D - x)
        return Position(x, x if index == 2 and self.fault != "end" else D)


FAULTY_SAMPLERS = {
    "plan": ("plan", "its plan has 3 costs and 2 injections"),
    "costs": ("costs", "step 0 makes 1 calls with a noise where plan.nfe_per_step says 2"),
    "silent": ("injections", "step 1: plan.injects says False, but another noise changes its result"),
    "loud": ("injections", "step 2: plan.injects says True, but another noise does not change its result"),
    "late": ("injections", "step 0: another noise does not change its prediction, so that no search could choose"),
    "writes": ("arguments", "initial() writes into its noise"),
    "overwrites": ("arguments", "step 0 writes into the position it starts from"),
    "remembers": ("repeats", "ends elsewhere when another one runs beside it"),
    "draws": ("repeats", "ends elsewhere when another one runs beside it"),
    "predicts": ("back", "back() makes 1 calls where plan.back says 0"),
    "stays": ("back", "back() from step 1 to 0 does not use its noise"),
    "dtype": ("form", "a call is torch.float64 where states are torch.float32"),
    "multistep": ("parts", "a trajectory that goes on from step 1 ends elsewhere than one in one piece"),
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


def test_writing_into_arguments_is_told_before_what_comes_of_it() -> None:
    order = list(rules(SamplerConformance))
    assert order[:3] == ["test_settings", "test_plan", "test_arguments"]
