"""A stand-in for the package pyiqa with one metric, for machines without it."""

from __future__ import annotations

import importlib.metadata
import sys
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

CONFIGS: dict[str, dict[str, Any]] = {
    "musiq": {"metric_mode": "NR"},
    "niqe": {"metric_mode": "NR", "lower_better": True},
    "lpips": {"metric_mode": "FR"},
}


class Roughness(nn.Module):
    """How much neighbouring pixels differ, relative to the batch: metrics of pyiqa may depend on it, too."""

    def __init__(self, lower_better: bool) -> None:
        super().__init__()
        self.lower_better = lower_better

    def forward(self, images: Tensor) -> Tensor:
        assert 0 <= float(images.min()) <= float(images.max()) <= 1
        return images.diff(dim=3).abs().mean(dim=(1, 2, 3)) / len(images)


def create_metric(name: str, device: str) -> nn.Module:
    if name not in CONFIGS:
        raise ValueError(f"Metric {name} not implemented yet.")
    return Roughness(CONFIGS[name].get("lower_better", False)).to(torch.device(device))


def install(patch: pytest.MonkeyPatch) -> None:
    """Let ``import pyiqa`` find the stand-in."""
    package, configs = ModuleType("pyiqa"), ModuleType("pyiqa.default_model_configs")
    package.create_metric, configs.DEFAULT_CONFIGS = create_metric, CONFIGS  # type: ignore[attr-defined]
    patch.setitem(sys.modules, "pyiqa", package)
    patch.setitem(sys.modules, "pyiqa.default_model_configs", configs)
    versions = importlib.metadata.version
    patch.setattr("tts.rewards.iqa.version", lambda name: "0.1.16" if name == "pyiqa" else versions(name))
