"""Kernels that a configuration chooses for a network; each choice is part of the identity."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench.study.config import Engines, RunConfig
from bench.study.study import Study
from bench.workers import kernels
from bench.workers.kernels import with_kernels
from bench.workers.numerics import set_numerics
from bench.workers.rates import loaded
from tts.errors import EngineError, SettingError
from tts.networks import placing
from tts.settings import parse
from tts.testing.toy_model import ToyModel

CHANGES: list[dict[str, Any]] = [
    {"compile": True},
    {"compile": "reduce-overhead", "device": "cuda"},
    {"compile": "max-autotune", "device": "cuda"},
    {"attention": "math"},
    {"attention": "diffusers:native"},
    {"channels_last": True},
    {"channels_last": False},
    {"invariant": "none", "device": "cuda"},
    {"invariant": "all", "device": "cuda"},
]


def test_each_is_part_of_the_identity_and_nothing_is_by_default() -> None:
    found = [parse(Engines, change, "engines").numerics() for change in CHANGES]
    assert [{**Engines().numerics(), **change} for change in CHANGES] == found
    assert set(Engines().numerics()) == {"batch", "threads", "device"}


@pytest.mark.parametrize(
    ("engines", "message"),
    [
        ({"compile": "reduce-overhead"}, "compile: reduce-overhead is about GPUs; it needs device: cuda"),
        ({"compile": "fastest"}, "compile"),
        ({"attention": "sage"}, "expected auto, math, flash, efficient, cudnn, or diffusers:NAME"),
    ],
)
def test_what_cannot_be_is_refused(engines: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        parse(Engines, engines, "engines")


@pytest.mark.parametrize("which", ["none", "convolutions", "all"])
def test_kernels_of_a_gpu_repeat(which: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    monkeypatch.setattr(placing, "_invariant", "")
    set_numerics(Engines(device="cuda", invariant=which, threads=torch.get_num_threads()))
    cudnn = torch.backends.cudnn
    assert (cudnn.deterministic, cudnn.benchmark, placing._invariant) == (True, False, which)


@pytest.mark.parametrize("wanted", [True, False])
def test_the_networks_kernels_have_the_layout(wanted: bool, tiny: Callable[..., RunConfig]) -> None:
    model = loaded(Study(tiny(engines={"channels_last": wanted})))
    wide = [each for each in model.module.parameters() if each.dim() == 4 and min(each.shape[1:]) > 1]
    assert {each.is_contiguous(memory_format=torch.channels_last) for each in wide} == {wanted}
    assert {each.is_contiguous() for each in wide} == {not wanted}


def test_attention_is_set_for_the_process() -> None:
    set_numerics(Engines(attention="math"))
    assert not torch.backends.cuda.flash_sdp_enabled()
    set_numerics(Engines())
    assert torch.backends.cuda.flash_sdp_enabled()


class Compiled(nn.Module):
    """Notes how it is compiled, and reuses the memory of its answer, as a CUDA graph does."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[dict[str, Any]] = []
        self.memory = torch.zeros(2, 3, 4, 4)

    def compile(self, **options: Any) -> None:
        self.asked.append(options)

    def forward(self, x: Tensor) -> Tensor:
        return self.memory.copy_(x)


class Graphed(ToyModel):
    """A model whose predictions are its network's answers."""

    def __init__(self) -> None:
        super().__init__()
        self.network = Compiled()

    @property
    def module(self) -> nn.Module:
        return self.network

    def denoise(self, x: Tensor, levels: Tensor, conditions: Any) -> Tensor:
        return self.network(x)  # type: ignore[no-any-return]


@pytest.mark.parametrize(("compile", "mode"), [(False, ()), (True, (None,)), ("max-autotune", ("max-autotune",))])
def test_a_network_is_compiled_in_a_mode(compile: Any, mode: tuple[Any, ...]) -> None:
    model = Graphed()
    found: Any = with_kernels(model, Engines(compile=compile, device="cuda" if isinstance(compile, str) else "cpu"))
    assert model.network.asked == [{"dynamic": False, "mode": each} for each in mode]
    assert isinstance(found, kernels.Replayed) == isinstance(compile, str)


def test_answers_from_a_graphs_memory_are_kept_apart() -> None:
    model = with_kernels(Graphed(), Engines(compile="reduce-overhead", device="cuda"))
    one, two = (model.denoise(torch.full((2, 3, 4, 4), value), torch.ones(2), [0, 0]) for value in (1.0, 2.0))
    assert (float(one.mean()), float(two.mean())) == (1.0, 2.0)
    assert (model.passes, model.previews, model.shape) == (1, False, (3, 8, 8))
    assert model.sampler.plan == Graphed().sampler.plan
    assert torch.equal(model.decode(one), Graphed().decode(one))


class Exact:
    """A model of a plug-in: it computes predictions without a network."""


def test_a_model_without_a_network_is_left_as_it_is() -> None:
    model: Any = Exact()
    assert with_kernels(model, Engines()) is model
    assert with_kernels(model, Engines(attention="math")) is model


@pytest.mark.parametrize("change", [{"compile": True}, {"channels_last": True}, {"attention": "diffusers:native"}])
def test_a_setting_that_needs_a_network_says_so(change: dict[str, Any]) -> None:
    model: Any = Exact()
    [setting] = change
    with pytest.raises(EngineError, match=rf"engines\.{setting} changes a network, .* Exact has no 'module'"):
        with_kernels(model, Engines(**change))
