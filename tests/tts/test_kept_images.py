"""Decoded images are used again in their memory layout, and their bytes are bounded."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from PIL import Image
from scored_levels import Counting, Level, scored_by, wanted
from torch import Tensor

from tts.engine.kept_images import KeptImages
from tts.engine.score_requests import ScoreRequest
from tts.engine.scoring import Scorer
from tts.plan import Condition
from tts.search.segment import ALL
from tts.testing.toy_model import ToyModel


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_kept_image_has_the_layout_that_it_was_decoded_in(layout: torch.memory_format) -> None:
    """Kernels may sum in another order for another layout."""
    seen = list[tuple[int, ...]]()

    class LaidOut(ToyModel):
        def decode(self, x: Tensor, preview: bool = False) -> Tensor:
            return super().decode(x, preview).contiguous(memory_format=layout)

    class Strides(Level):
        def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[float | None]:
            seen.append(images.stride())
            return super().score(images, conditions)

    scorer = Scorer(LaidOut(shape=(3, 8, 4)), {"it": Strides(False)}, batch=2)
    for ticket, rewards in ((7, "it"), (9, ALL)):
        request = ScoreRequest(ticket, torch.zeros(3, 8, 4), 0, (rewards,), final=7)
        assert scored_by(scorer, [request])[ticket].decodes == int(ticket == 7)
    assert seen[0] == seen[1]


def test_a_final_image_is_decoded_once() -> None:
    model = Counting()
    scorer = Scorer(model, {"device": Level(False), "host": Level(True)}, batch=2)
    first = wanted(7, "host")._replace(final=7)
    again = wanted(9, ALL)._replace(final=7)
    assert scored_by(scorer, [first])[7].decodes == 1
    found = scored_by(scorer, [again])[9]
    assert (found.decodes, found.scores) == (0, {"device": 7.0, "host": 7.0})
    assert np.asarray(Image.open(io.BytesIO(found.image or b""))).tolist() == [[[7] * 3] * 8] * 8
    scorer.kept.forget([7])
    assert scored_by(scorer, [again])[9].decodes == 1
    assert model.decoded == [2, 2]


def test_kept_images_are_bounded() -> None:
    kept, image = KeptImages(most=2 * 192), torch.zeros(3, 8, 8, dtype=torch.uint8)
    for key in (1, 2, 2, 3):
        kept.keep(key, image)
    assert [key for key in (1, 2, 3) if kept.get(key) is not None] == [2, 3]
