"""Guided diffusion's classifier against its published computation."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import tiny_rewards
import torch
from checks_of_rewards import REWARDS as CHECKS
from guided_form import published

from tts.errors import WeightsError
from tts.files.tensors import fill
from tts.networks.adm_classifier import ADMClassifier, shape_of

FORMS: dict[str, tuple[int, tuple[int, ...], int, tuple[int, ...]]] = {
    "one block a level": (64, (1, 1, 1, 1), 1, (8,)),
    "attention at three sizes": (32, (2, 2, 2, 4), 2, (32, 16, 8)),
    "five levels": (64, (1, 1, 2, 2, 2), 1, (16, 4)),
}


@pytest.fixture(autouse=True)
def _inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.mark.slow
@pytest.mark.parametrize("scales", [True, False])
@pytest.mark.parametrize("time", [0.0, 437.0])
@pytest.mark.parametrize("form", FORMS)
def test_guided_diffusions_classifier_is_the_published_network(form: str, time: float, scales: bool) -> None:
    """Networks with use_scale_shift_norm, like the published ones, and without."""
    width, mults, depth, attends = FORMS[form]
    state = tiny_rewards.guided_state(7, width, mults, depth, attends, seed=1, scales=scales)
    network = ADMClassifier(shape_of(state, 64), 64)
    fill(network, state, "test")
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    expected = published(state, x, time, depth)
    assert expected.std() > 0.1
    found = network(x, torch.full((2,), time))
    assert (found - expected).abs().max() < CHECKS["guided"].abs


def test_the_published_size() -> None:
    """The published network has width 128, four blocks a level, and attention at 32, 16 and 8 pixels."""
    state = tiny_rewards.guided_state(1000, 128, (1, 2, 3, 4), 4, (32, 16, 8), seed=0)
    shape = shape_of(state, 64)
    assert (shape.widths, shape.blocks, shape.attends) == ((128, 256, 384, 512), 4, (False, True, True, True))
    with torch.device("meta"):
        network = ADMClassifier(shape, 64)
    assert {name: tuple(value.shape) for name, value in network.state_dict().items()} == {
        name: tuple(value.shape) for name, value in state.items()
    }


OTHERS: dict[str, tuple[dict[str, torch.Tensor], tuple[str, ...], str]] = {
    "convolutions": ({"input_blocks.2.0.op.weight": torch.zeros(1)}, (), "classifier_resblock_updown"),
    "another pool": ({"out.3.weight": torch.zeros(1)}, ("out.2.",), "does not pool by attention .classifier_pool"),
}


@pytest.mark.parametrize("other", OTHERS)
def test_other_options_of_the_program_are_named(other: str) -> None:
    more, without, message = OTHERS[other]
    state = tiny_rewards.guided_state(7, 32, (1, 1, 1, 1), 1, (8,), seed=1)
    kept = {name: value for name, value in state.items() if not without or not name.startswith(without)}
    with pytest.raises(WeightsError, match=message):
        shape_of({**kept, **more}, 64)
