"""Values that stay float32 in a network of lower precision: frequencies, positions, levels, scales."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import edm_pickles
import pytest
import song_pickles
import tiny_pipelines
import torch
from checks_of_models import MODELS as CHECKS
from torch import Tensor, nn

from tts.models.base import Model
from tts.models.edm import EDM
from tts.networks.precondition import EDMPrecond
from tts.precision import Precision
from tts.registry import MODELS

TABLES = {"Timesteps", "PatchEmbed", "Fourier", "Positional"}
"""Modules that embed times, noise levels and positions."""
HALVES: list[Precision] = ["fp16", "bf16"]
LEVELS = torch.tensor([80.0, 10.0, 2.0, 0.5, 0.1, 0.002], dtype=torch.float64)
FAMILIES = [*tiny_pipelines.PIPELINES, "edm-adm", "edm-vp", "edm-ve"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every family, saved once."""
    folder = tmp_path_factory.mktemp("saved")
    networks = {
        "edm-adm": edm_pickles.network(**edm_pickles.TINY),
        "edm-vp": song_pickles.network(**song_pickles.VP),
        "edm-ve": song_pickles.network(**song_pickles.VE),
    }
    pickles = {name: edm_pickles.save(network, folder / f"{name}.pkl") for name, network in networks.items()}
    folders = {name: tiny_pipelines.save(make(), folder / name) for name, make in tiny_pipelines.PIPELINES.items()}
    return pickles | folders


def loaded(name: str, path: Path, precision: Precision) -> Model:
    if name.startswith("edm"):
        classes = (edm_pickles.TINY if name == "edm-adm" else song_pickles.VP)["label_dim"]
        return EDM(checkpoint=str(path), classes=classes, precision=precision).load()
    settings: Any = MODELS.make({"name": name, "id": str(path), "precision": precision, "sampler": {"steps": 4}})[1]
    model: Model = settings.load()
    return model


@pytest.fixture(autouse=True)
def _inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


def answers(model: Model, name: str) -> tuple[list[Tensor], Tensor]:
    """Outputs of the embedding modules in one denoising, and the raw network's last answer."""
    given: list[Tensor] = []
    raw: list[Tensor] = []
    hooks = [
        module.register_forward_hook(lambda _, __, answer: given.append(answer))
        for module in model.module.modules()
        if type(module).__name__ in TABLES
    ]
    hooks.append(model.module.register_forward_hook(lambda _, __, answer: raw.append(first(answer))))
    edm = name.startswith("edm")
    levels = LEVELS if edm else torch.tensor([999.0, 751.0, 501.0, 251.0, 26.0, 1.0], dtype=torch.float64)
    scale = (levels**2 + 0.25).sqrt().float().view(-1, 1, 1, 1) if edm else 1.0
    x = scale * torch.randn(len(levels), *model.shape, generator=torch.Generator().manual_seed(1))
    conditions: list[Any] = ["a cat"] * 6 if name.startswith("stable") else [k % 4 for k in range(6)]
    model.denoise(x, levels, conditions)
    for hook in hooks:
        hook.remove()
    return given, raw[-1].float()


def first(answer: Any) -> Tensor:
    tensor: Tensor = answer if isinstance(answer, Tensor) else answer[0]
    return tensor


@pytest.mark.parametrize("precision", HALVES)
@pytest.mark.parametrize("name", FAMILIES)
def test_embeddings_are_those_of_float32(name: str, precision: Precision, saved: dict[str, Path]) -> None:
    """Embeddings of times and levels are equal bit for bit; of positions, up to the rounding of the patches."""
    exact, _ = answers(loaded(name, saved[name], "fp32"), name)
    found, _ = answers(loaded(name, saved[name], precision), name)
    assert len(found) == len(exact) > 0
    rounding = torch.finfo(getattr(torch, {"fp16": "float16", "bf16": "bfloat16"}[precision])).eps
    for one, other in zip(exact, found, strict=True):
        if other.dtype == torch.float32:
            assert float((one - other).abs().max()) == CHECKS["half-embeddings"].near(0)
        else:  # patches with the places added in float32
            assert name == "dit"
            assert (one - other.float()).abs().max() < 4 * rounding * one.abs().max()


@pytest.mark.parametrize("precision", HALVES)
@pytest.mark.parametrize("name", FAMILIES)
def test_answers_are_off_by_no_more_than_rounding(name: str, precision: Precision, saved: dict[str, Path]) -> None:
    """With rounded Fourier frequencies, a small NCSN++ was off by .04 and .23, one of full width by .05 and .42."""
    _, exact = answers(loaded(name, saved[name], "fp32"), name)
    _, found = answers(loaded(name, saved[name], precision), name)
    off = float((found - exact).abs().max() / exact.std())
    assert off > 0
    assert off == (CHECKS["float16"] if precision == "fp16" else CHECKS["bfloat16"]).near(0)


def test_frequencies_stay_exact_wherever_a_network_is_moved(saved: dict[str, Path]) -> None:
    network = loaded("edm-ve", saved["edm-ve"], "bf16").module
    exact = loaded("edm-ve", saved["edm-ve"], "fp32").module.map_noise.freqs
    for moved in (network, network.half(), network.to("cpu", torch.bfloat16), network.float()):
        frequencies: Any = moved.map_noise.freqs
        assert frequencies.dtype == torch.float32
        assert torch.equal(frequencies, exact)


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16])
def test_preconditioning_is_float32(precision: torch.dtype) -> None:
    """A network that answers 0 leaves ``c_skip x``, which must not be rounded."""

    class Silent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, x: Tensor, c_noise: Tensor, labels: Tensor) -> Tensor:
            assert (x.dtype, c_noise.dtype) == (precision, torch.float32)
            return torch.zeros_like(x)

    x = torch.randn(len(LEVELS), 3, 4, 4)
    found = EDMPrecond(Silent()).to(precision)(x, LEVELS, torch.zeros(len(LEVELS), dtype=torch.long))
    c_skip = 0.25 / (LEVELS**2 + 0.25)
    assert torch.equal(found, c_skip.float().view(-1, 1, 1, 1) * x)
