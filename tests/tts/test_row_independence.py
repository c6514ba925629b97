"""An engine finds at its start that rows of a model depend on one another."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from tts.engine.batching import rows_are_independent
from tts.engine.features import first_dependent_features
from tts.engine.score_checks import first_dependent_score
from tts.engine.small_batches import REMEDY
from tts.errors import EngineError
from tts.plan import Condition
from tts.rewards.brightness import Brightness
from tts.testing.toy_model import BrokenModel, ConvModel, CrowdedModel, ToyModel


@pytest.mark.parametrize("batch", [1, 2, 5, 8])
def test_rows_of_good_models_are_independent(batch: int) -> None:
    assert rows_are_independent(ToyModel(), batch, 1)
    assert rows_are_independent(ConvModel(), batch, 1)


@pytest.mark.parametrize("batch", [2, 5, 8])
def test_rows_of_a_faulty_model_are_not_independent(batch: int) -> None:
    assert not rows_are_independent(CrowdedModel(), batch, 1)


class PlacedModel(ToyModel):
    """A faulty model: the last bits of a batch's second row are others."""

    def denoise(self, x: Tensor, levels: Tensor, conditions: Sequence[Condition]) -> Tensor:
        second = torch.arange(len(x)) == 1
        return super().denoise(x, levels, conditions) + 1e-6 * second.float().view(-1, 1, 1, 1)


@pytest.mark.parametrize("batch", [4, 5, 8])  # in a batch of three it stays where it is
def test_rows_that_depend_on_their_place_are_not_independent(batch: int) -> None:
    assert not rows_are_independent(PlacedModel(), batch, 1)


class PaddingModel(ToyModel):
    """A faulty model: it pads prompts to the longest of a batch."""

    def denoise(self, x: Tensor, levels: Tensor, conditions: Sequence[str]) -> Tensor:
        longest = max(len(prompt) for prompt in conditions)
        return super().denoise(x, levels, [len(prompt) for prompt in conditions]) + 1e-6 * longest


@pytest.mark.parametrize("batch", [2, 5, 8])
def test_rows_that_are_padded_to_the_longest_prompt_are_not_independent(batch: int) -> None:
    assert not rows_are_independent(PaddingModel(), batch, "a cat")


def test_a_broken_model_is_found_at_the_start() -> None:
    with pytest.raises(EngineError, match="NaN"):
        rows_are_independent(BrokenModel(), 4, 1)


class Relative:
    """A faulty reward: how much brighter an image is than the first one beside it."""

    def __init__(self, host: bool) -> None:
        self.host = host

    def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[float | None]:
        values = images.double().mean(dim=(1, 2, 3))
        return [float(value) for value in values - values[0]]


@pytest.mark.parametrize("host", [True, False])
def test_a_reward_that_looks_at_its_neighbours_is_named(host: bool) -> None:
    rewards = {"fine": Brightness().load(), "mine": Relative(host)}
    assert first_dependent_score(ToyModel(), rewards, 4, 1) == "reward mine"


class Alone(Relative):
    """A reward as torch's sums make many: one image has other last digits than several."""

    waits = False

    def features(self, images: Tensor) -> Tensor:
        return images.float().mean(dim=(2, 3)) + 0.01 * (len(images) == 1)

    def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[float | None]:
        values = images.double().mean(dim=(1, 2, 3)) + 1e-12 * (len(images) == 1)
        return [float(value) for value in values]


def test_what_judges_on_the_host_is_asked_for_fewer_images_too() -> None:
    """Batches of a device are padded, and services answer for themselves."""
    on_host, elsewhere, service = Alone(True), Alone(False), Alone(True)
    service.waits = True
    assert first_dependent_score(ToyModel(), {"there": elsewhere, "service": service}, 4, 1) is None
    found = first_dependent_score(ToyModel(), {"mine": on_host}, 4, 1)
    assert found == f"reward mine (which could {REMEDY})"
    assert first_dependent_features(ToyModel(), {"there": elsewhere}, 4) is None
    assert first_dependent_features(ToyModel(), {"mine": on_host}, 4) == f"metric mine (which could {REMEDY})"


class CrowdedDecoder(ToyModel):
    """A faulty model: it decodes images, or previews, as differences to the first one."""

    previews = True

    def __init__(self, preview: bool) -> None:
        super().__init__()
        self.faulty = preview

    def decode(self, x: Tensor, preview: bool = False) -> Tensor:
        return super().decode(x - x[:1] if preview == self.faulty else x)


@pytest.mark.parametrize(("preview", "name"), [(False, "the decoder"), (True, "the decoder of previews")])
def test_a_decoder_that_does_is_named(preview: bool, name: str) -> None:
    assert first_dependent_score(CrowdedDecoder(preview), {}, 4, 1) == name
