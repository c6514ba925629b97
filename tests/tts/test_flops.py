"""FLOPs equal those of torch's own counter, without importing torch's compiler."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from tts.engine.flops import FlopCounter
from tts.networks.folded_unet import FoldedUNet

PROGRAM = """
import sys
from tts.models.cifar10 import Cifar10
from tts.engine.batching import flops_of
print(flops_of(Cifar10().load(), 0), {"torch._dynamo", "sympy"} & sys.modules.keys())
"""


class Several(nn.Module):
    """Matrix products of several kinds."""

    def forward(self, x: Tensor) -> Tensor:
        y = torch.einsum("bij,bkj->bik", x, x) @ x
        return nn.functional.scaled_dot_product_attention(y, y, y) + torch.addmm(x[0], x[0], x[0].T @ x[0])


@pytest.mark.parametrize(
    ("network", "given"),
    [
        (FoldedUNet(), (torch.zeros(2, 3, 32, 32), torch.zeros(2), torch.zeros(2, dtype=torch.long))),
        (Several(), (torch.zeros(2, 8, 8),)),
    ],
)
def test_the_count_is_torchs(network: nn.Module, given: tuple[Tensor, ...]) -> None:
    with torch.inference_mode(), FlopCounterMode(display=False) as theirs:
        network(*given)
    with torch.no_grad(), FlopCounter() as ours:
        network(*given)
    assert ours.total == theirs.get_total_flops() > 0


@pytest.mark.slow
def test_the_compiler_is_not_imported(fresh_python: Callable[..., str]) -> None:
    assert fresh_python(PROGRAM) == "525434880.0 set()"
