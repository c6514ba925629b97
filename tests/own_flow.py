"""A model of Gaussian data whose flow velocity is known in closed form, as a user would write it."""

from __future__ import annotations

from typing import Any, ClassVar

from own_flow_sampler import FlowAncestral

from tts import media
from tts.models.base import ModelSettings
from tts.models.classes import class_index
from tts.models.parameterisation import PARAMETERISATIONS
from tts.plan import Plan


class Gaussians(ModelSettings):
    """Pixels of class c are N(.3 c, .25), so the velocity E[e - x_0 | x] is known in closed form."""

    sampler: FlowAncestral = FlowAncestral()
    passes: ClassVar = 1
    previews: ClassVar = False
    shape: ClassVar = (3, 32, 32)
    module: ClassVar = None

    def plan(self) -> Plan:
        return self.sampler.plan

    def condition(self, value: Any) -> int:
        return class_index(value, 2)

    def conditions(self) -> Any:
        return (0, 1)

    def label(self, condition: Any) -> str:
        return f"class {condition}"

    def check(self) -> None:
        """Nothing to check."""

    def identity(self) -> Any:
        return self.record()

    def load(self, device: str = "cpu") -> Any:
        return self

    def denoise(self, x: Any, levels: Any, conditions: Any) -> Any:
        import torch

        s, m = levels.float().view(-1, 1, 1, 1), 0.3 * torch.tensor(conditions).view(-1, 1, 1, 1)
        v = (s - (1 - s) / 4) / ((1 - s) ** 2 / 4 + s**2) * (x - (1 - s) * m) - m
        return PARAMETERISATIONS["flow_velocity"].clean(x, v, 1 - levels, levels)

    def decode(self, x: Any, preview: bool = False) -> Any:
        return media.quantised(x)
