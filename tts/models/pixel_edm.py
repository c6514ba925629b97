"""EDM denoisers that work on pixels, as engines use them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tts import media
from tts.models.guidance import Guidance, Network, Unguided
from tts.plan import Condition

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tts.networks.precondition import EDMPrecond
    from tts.samplers.base import Sampler


class PixelEDM:
    """An EDM denoiser on pixels in [-1, 1], as a :class:`tts.models.base.Model` of class indices."""

    previews = False

    def __init__(
        self,
        denoiser: EDMPrecond,
        sampler: Sampler,
        shape: tuple[int, ...],
        device: str,
        guidance: Guidance = Unguided(),  # noqa: B008  (frozen)
    ) -> None:
        self.denoiser, self.sampler, self.shape, self.device = denoiser, sampler, shape, device
        self.guidance, self.passes = guidance, guidance.passes
        self.predict = predictor(denoiser, device)

    def denoise(self, x: Tensor, levels: Tensor, conditions: Sequence[Condition]) -> Tensor:
        """Predicted clean images of noisy ones at sigmas ``[B]`` float64; both are ``[B, 3, H, W]`` float32."""
        from tts.engine.device_queue import upload

        return self.guidance(self.predict, x, upload(levels, self.device), conditions)

    @property
    def module(self) -> nn.Module:
        """The raw network."""
        return self.denoiser.network

    def decode(self, x: Tensor, preview: bool = False) -> media.Media:
        """Images ``[B, 3, H, W]`` uint8 of clean states in [-1, 1], rounded to the nearest level and clipped."""
        return media.quantised(x)


def predictor(denoiser: EDMPrecond, device: str) -> Network:
    """The denoiser as a network without guidance: ``(x [B, C, H, W], sigmas [B], class indices) -> [B, C, H, W]``."""

    def predict(x: Tensor, sigmas: Tensor, conditions: Sequence[Condition]) -> Tensor:
        import torch

        from tts.engine.device_queue import upload

        labels = upload(torch.tensor([int(condition) for condition in conditions]), device)
        result: Tensor = denoiser(x, sigmas, labels)
        return result

    return predict
