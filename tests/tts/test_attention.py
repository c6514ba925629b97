"""Attention by name: torch's kernels for a process, diffusers' backends for a network, and unavailable ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
import tiny_flow_pipelines
import tiny_pipelines
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from tts.engine.batching import Engine
from tts.engine.requests import EvalRequest
from tts.errors import EngineError, SettingError
from tts.networks.attention import TORCHS, check_name, dispatch, set_attention
from tts.noise import Noise
from tts.plan import Condition
from tts.search.segment import Segment
from tts.testing.toy_model import ToyModel


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    yield
    set_attention("auto")


def allowed() -> set[str]:
    kernels = torch.backends.cuda
    return {name for name, theirs in TORCHS.items() if getattr(kernels, f"{theirs}_sdp_enabled")()}


def test_a_name_leaves_one_kernel_and_auto_all() -> None:
    assert allowed() == set(TORCHS)
    for name in TORCHS:
        set_attention(name)
        assert allowed() == {name}
    set_attention("diffusers:native")
    assert allowed() == set(TORCHS)


@pytest.mark.parametrize("name", ["auto", *TORCHS, "diffusers:sage", "diffusers:_native_math"])
def test_names_that_may_be_right(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "fast", "sage", "diffusers:", "diffusers:a.b", "diffusers:../x", "Math"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="expected auto, math, flash, efficient, cudnn, or diffusers:NAME"):
        check_name(name)


@pytest.mark.parametrize("name", ["diffusers:flash_hub", "diffusers:SAGE_HUB"])
def test_no_code_is_fetched(name: str) -> None:
    with pytest.raises(ValueError, match="would run code downloaded from the hub"):
        check_name(name)


class Attentive(ToyModel):
    """A model that computes attention."""

    def denoise(self, x: Tensor, levels: Tensor, conditions: Sequence[Condition]) -> Tensor:
        rows = x.flatten(2)[:, None]
        return scaled_dot_product_attention(rows, rows, rows).view_as(x)


def test_a_kernel_that_cannot_compute_it_is_said_in_one_line() -> None:
    """CPUs lack the memory-efficient kernel."""
    set_attention("efficient")
    engine = Engine(Attentive(), {}, 2)
    engine.submit([EvalRequest(0, Segment(Noise(0), (None,), 0))])
    with pytest.raises(EngineError, match=r"set engines\.attention=auto"):
        engine.advance()


def test_a_backend_of_diffusers_computes_the_same() -> None:
    transformer = tiny_flow_pipelines.qwen_image().transformer
    try:
        dispatch(transformer, "auto")
        assert backends(transformer) == {None}
        dispatch(transformer, "diffusers:_native_math")
        assert backends(transformer) == {"_native_math"}
    finally:
        transformer.set_attention_backend("native")


def backends(network: torch.nn.Module) -> set[str | None]:
    found = (module.processor._attention_backend for module in network.modules() if hasattr(module, "processor"))
    return {None if each is None else each.value for each in found}


def test_a_network_whose_attention_is_torchs_has_no_backends() -> None:
    with pytest.raises(EngineError, match="UNet2DConditionModel computes attention by torch"):
        dispatch(tiny_pipelines.unet(), "diffusers:native")
    with pytest.raises(EngineError, match="Linear computes attention by torch"):
        dispatch(torch.nn.Linear(1, 1), "diffusers:native")


@pytest.mark.parametrize("name", ["diffusers:unheard_of", "diffusers:sage"])
def test_a_backend_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(SettingError, match=f"^engines.attention = {name}: "):
        dispatch(tiny_flow_pipelines.qwen_image().transformer, name)
