"""An engine finds at its start that rows of a model depend on one another."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from torch import Tensor

from tts.engine.batching import rows_are_independent
from tts.errors import EngineError
from tts.testing.toy_model import BrokenModel, ConvModel, CrowdedModel, ToyModel


@pytest.mark.parametrize("batch", [1, 2, 5, 8])
def test_rows_of_good_models_are_independent(batch: int) -> None:
    assert rows_are_independent(ToyModel(), batch, 1)
    assert rows_are_independent(ConvModel(), batch, 1)


@pytest.mark.parametrize("batch", [2, 5, 8])
def test_rows_of_a_faulty_model_are_not_independent(batch: int) -> None:
    assert not rows_are_independent(CrowdedModel(), batch, 1)


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
