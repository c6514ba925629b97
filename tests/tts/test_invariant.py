"""Kernels with a fixed order of summation, run by triton's interpreter, so that tests need no GPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import edm_pickles
import pytest
import song_pickles
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from tts.engine.flops import FlopCounter
from tts.models.edm import EDM
from tts.networks import invariant
from tts.networks.placing import place
from tts.networks.resampling import resampling
from tts.networks.song import Resampled

CONVOLUTIONS = {
    "of odd sizes": (nn.Conv2d(3, 20, 3, padding=1), (9, 7)),
    "with a stride": (nn.Conv2d(20, 8, 3, 2, padding=1), (8, 8)),
    "of single cells": (nn.Conv2d(20, 70, 1, bias=False), (5, 5)),
    "of more than a tile": (nn.Conv2d(40, 130, 3, padding=(1, 0)), (12, 8)),
    "tall": (nn.Conv2d(4, 5, (3, 1), padding=(1, 0)), (4, 4)),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions_are_torchs_own(name: str) -> None:
    module, size = CONVOLUTIONS[name]
    x = torch.randn(3, module.in_channels, *size)
    with torch.no_grad():
        wanted = module(x)
        network = nn.Sequential(module)
        invariant.make_invariant(network)
        assert type(network[0]) is invariant.InvariantConv2d
        torch.testing.assert_close(network(x), wanted)


def test_products_are_torchs_own_and_only_changed_where_wanted() -> None:
    network, x = nn.Sequential(nn.Linear(24, 70)), torch.randn(2, 5, 24)
    with torch.no_grad():
        wanted = network(x)
        invariant.make_invariant(network)
        assert type(network[0]) is nn.Linear
        invariant.make_invariant(network, products=True)
        assert type(network[0]) is invariant.InvariantLinear
        torch.testing.assert_close(network(x), wanted)


def test_weights_keep_their_form() -> None:
    module = nn.Conv2d(6, 4, 3)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    invariant.make_invariant(module)
    assert module.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


@pytest.mark.parametrize(
    "module",
    [nn.Conv2d(4, 4, 3, groups=2), nn.Conv2d(4, 4, 3, dilation=2), nn.Conv2d(4, 4, 3, padding_mode="circular")],
    ids=["grouped", "dilated", "circular"],
)
def test_others_stay_as_they_are(module: nn.Conv2d) -> None:
    invariant.make_invariant(module)
    assert type(module) is nn.Conv2d


def test_operations_are_counted_as_those_of_torch() -> None:
    module, x = nn.Conv2d(8, 6, 3, padding=1), torch.randn(2, 8, 4, 4)
    counts = []
    for _ in range(2):
        with torch.no_grad(), FlopCounter() as counter:
            module(x)
        counts.append(counter.total)
        invariant.make_invariant(module)
    assert counts[0] == counts[1] == 2 * 2 * 6 * 16 * 8 * 9


def test_on_a_cpu_nothing_changes() -> None:
    module = place(nn.Conv2d(4, 4, 3), "cpu")
    assert type(module) is nn.Conv2d
    assert not module.training
    assert not any(each.requires_grad for each in module.parameters())


# ---- SongUNet, whose convolutions are at other resolutions as well -------------------------------------------------


RESAMPLED: dict[str, dict[str, Any]] = {
    "at the same resolution": {},
    "without a neighbourhood": {"kernel": 1},
    "half by means": {"change": "down", "taps": 2},
    "half by a wider filter": {"change": "down", "taps": 4},
    "half, the convolution first": {"change": "down", "taps": 4, "fused": True},
    "double by repetition": {"change": "up", "taps": 2},
    "double by a wider filter": {"change": "up", "taps": 4},
}


def resampled(kernel: int = 3, taps: int = 0, **settings: Any) -> Resampled:
    module = Resampled(6, 5, kernel, taps=taps, **settings).requires_grad_(False)
    for tensor in (module.weight, module.bias):
        tensor.copy_(torch.randn(tensor.shape, generator=torch.Generator().manual_seed(tensor.numel())))
    if taps:
        module.resample_filter.copy_(filters(taps)[None, None])
    return module


def filters(taps: int) -> Tensor:
    """As the published networks have them."""
    line = torch.tensor([1.0, 1.0] if taps == 2 else [1.0, 3.0, 3.0, 1.0])
    return line[:, None] * line / line.sum() ** 2


class Seen(TorchDispatchMode):
    """The names of all convolutions that are computed."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if "convolution" in str(func):
            self.names.append(str(func))
        return func(*args, **kwargs or {})


def run(network: nn.Module, x: Tensor) -> tuple[Tensor, int, set[str]]:
    """The output, its FLOPs and its convolutions."""
    with torch.no_grad(), FlopCounter() as counter, Seen() as seen:
        found = network(x)
    return found, counter.total, set(seen.names)


@pytest.mark.parametrize("settings", RESAMPLED.values(), ids=RESAMPLED)
def test_convolutions_at_other_resolutions_are_replaced_too(settings: dict[str, Any]) -> None:
    module, x = resampled(**settings), torch.randn(2, 6, 8, 6, generator=torch.Generator().manual_seed(0))
    state = {name: value.clone() for name, value in module.state_dict().items()}
    wanted, flops, names = run(module, x)
    assert names == {"aten.convolution.default"}
    invariant.make_invariant(module)
    found, counted, names = run(module, x)
    assert names == {"tts.convolution.default"}
    torch.testing.assert_close(found, wanted)
    assert counted == flops
    assert module.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())


@pytest.mark.parametrize("arguments", [song_pickles.VP, song_pickles.VE], ids=["vp", "ve"])
def test_no_convolution_of_songs_network_is_left(arguments: dict[str, Any], tmp_path: Path) -> None:
    path = edm_pickles.save(song_pickles.network(**arguments), tmp_path / "song.pkl")
    model = EDM(checkpoint=str(path), classes=4).load()
    denoiser: nn.Module = model.denoiser
    x, levels = torch.randn(2, *model.shape, generator=torch.Generator().manual_seed(1)), torch.tensor([2.0, 0.5])
    wanted = model.denoise(x, levels.double(), [0, 3])
    invariant.make_invariant(denoiser)
    with torch.no_grad(), Seen() as seen:
        found = model.denoise(x, levels.double(), [0, 3])
    assert set(seen.names) == {"tts.convolution.default"}
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("taps", [2, 4])
@pytest.mark.parametrize("up", [True, False])
def test_a_row_is_resampled_to_the_same_bits_in_any_batch(up: bool, taps: int, dtype: torch.dtype) -> None:
    x = torch.randn(5, 3, 6, 10, generator=torch.Generator().manual_seed(0)).to(dtype)
    padding, filter_ = (taps - 1) // 2, filters(taps).to(dtype)
    found = resampling(x, filter_, up, padding)
    assert found.dtype == dtype
    assert found.shape == ((5, 3, 12, 20) if up else (5, 3, 3, 5))
    assert all(torch.equal(resampling(x[k:], filter_, up, padding), found[k:]) for k in range(5))
    exact = resampling(x.float(), filters(taps), up, padding)
    assert torch.equal(found, exact.to(dtype))


def test_the_shape_of_what_is_resampled_is_known_without_values() -> None:
    torch.library.opcheck(resampling, (torch.randn(2, 3, 4, 6), filters(4), True, 1))
    torch.library.opcheck(resampling, (torch.randn(2, 3, 4, 6), filters(4), False, 1))
