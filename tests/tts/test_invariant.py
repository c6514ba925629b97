"""Kernels with a fixed order of summation, run by triton's interpreter, so that tests need no GPU."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tts.engine.flops import FlopCounter
from tts.networks import invariant
from tts.networks.placing import place

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
