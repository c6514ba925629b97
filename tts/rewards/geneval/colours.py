"""The colour of a detected object, by CLIP."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from tts.rewards.geneval.metadata import COLOURS
from tts.rewards.geneval.rules import Found

if TYPE_CHECKING:
    from torch import Tensor

    from tts.rewards.encoders import Encoders

GREY = 153
"""Grey level of pixels outside the object, as in the published program."""
PHRASES = ("a photo of a {colour} {name}", "a photo of a {colour}-colored {name}", "a photo of a {colour} object")
"""The published phrases; a colour is the mean of their embeddings."""


class ColourNames:
    """Names an object's colour: the one of ten colours whose phrases are nearest to the object's cut-out."""

    def __init__(self, encoders: Encoders) -> None:
        self.encoders = encoders
        self._directions: Callable[[str], Tensor] = cache(self._of_class)

    def __call__(self, image: Tensor, found: Found) -> str:
        """The colour of an object in an image ``[3, H, W]`` uint8."""
        embedding = self.encoders.images(cut_out(image, found)[None])[0]
        return COLOURS[int((self._directions(found.name) @ embedding).argmax())]

    def _of_class(self, name: str) -> Tensor:
        """Embeddings of the ten colours for a class, ``[10, D]``."""
        import torch

        from tts.rewards.encoders import unit

        rows = [[phrase.format(colour=colour, name=name) for phrase in PHRASES] for colour in COLOURS]
        return torch.stack([unit(self.encoders.texts(row).mean(dim=0)) for row in rows])


def cut_out(image: Tensor, found: Found) -> Tensor:
    """The object's box ``[3, h, w]`` of an image; grey outside the object's mask."""
    import torch

    height, width = image.shape[1:]
    left, top = (min(max(round(at), 0), most - 1) for at, most in zip(found.box[:2], (width, height), strict=True))
    right, bottom = (round(at) for at in found.box[2:])
    if found.mask is not None:
        image = torch.where(found.mask.to(image.device), image, torch.full_like(image, GREY))
    return image[:, top : max(bottom, top + 1), left : max(right, left + 1)]
