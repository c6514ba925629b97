"""A denoiser spread over several devices, as far as one processor can test it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny_flow_pipelines
import tiny_flows
import tiny_flux
import tiny_pipelines
import torch
from torch import nn

from tts.networks.spreading import shares, spread_over
from tts.noise import normal
from tts.registry import MODELS

pytestmark = pytest.mark.usefixtures("one_thread")


class Blocks(nn.Module):
    """Ten equal blocks in a list, and one in front."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(8, 8)
        self.rest = nn.ModuleList(nn.Linear(8, 8) for _ in range(9))


@pytest.mark.parametrize("devices", [1, 2, 5])
def test_blocks_are_shared_out_in_order_and_evenly(devices: int) -> None:
    found = shares(Blocks(), devices)
    assert list(found) == ["first", *(f"rest.{k}" for k in range(9))]
    assert list(found.values()) == sorted(list(range(devices)) * (10 // devices))


MAKERS: dict[str, Any] = {
    "stable-diffusion": tiny_pipelines.stable_diffusion,
    "flux": tiny_flux.flux,
    "sana": tiny_flow_pipelines.sana,  # it has a table outside its blocks
}


@pytest.mark.parametrize("name", MAKERS)
def test_a_network_over_several_devices_answers_the_same(name: str, tmp_path: Path) -> None:
    folder = tiny_pipelines.save(MAKERS[name](), tmp_path / name)
    family = {"flux": "flux-dev"}.get(name, name)
    size = {"size": tiny_flows.FAMILIES[family].pixels} if family in tiny_flows.FAMILIES else {}
    settings: Any = MODELS.make({"name": name, "id": str(folder), "precision": "fp32", **size})[1]
    alone = settings.load()
    with spread_over(["cpu", "cpu", "cpu"]):
        spread: Any = settings.load()
    hooks = [module._hf_hook for module in spread.module.modules() if hasattr(module, "_hf_hook")]
    assert len(hooks) == 1 + len(shares(alone.module, 3))
    assert all(str(hook.execution_device) == "cpu" for hook in hooks)
    x = torch.stack([torch.from_numpy(normal(row, alone.shape)) for row in range(2)])
    levels = torch.full((2,), float(getattr(alone.sampler, "times", [0.7])[0]), dtype=torch.float64)
    with torch.inference_mode():
        assert torch.equal(alone.denoise(x, levels, ["a cat", "a dog"]), spread.denoise(x, levels, ["a cat", "a dog"]))
