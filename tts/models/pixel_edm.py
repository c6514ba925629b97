"""EDM denoisers that work on pixels, as engines use them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tts.plan import Condition
from tts.samplers.heun import StochasticHeun

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tts.networks.precondition import EDMPrecond


class PixelEDM:
    """An EDM denoiser on pixels in [-1, 1]; see :class:`tts.models.base.Model`."""

    passes = 1
    previews = False

    def __init__(self, denoiser: EDMPrecond, sampler: StochasticHeun, shape: tuple[int, ...], device: str) -> None:
        self.denoiser, self.sampler, self.shape, self.device = denoiser, sampler, shape, device

    def denoise(self, x: Tensor, levels: Tensor, conditions: Sequence[Condition]) -> Tensor:
        """See :class:`tts.models.base.Model`; conditions are class indices."""
        import torch

        from tts.engine.device_queue import upload

        labels = upload(torch.tensor([int(condition) for condition in conditions]), self.device)
        result: Tensor = self.denoiser(x, upload(levels, self.device), labels)
        return result

    @property
    def module(self) -> nn.Module:
        """The raw network."""
        return self.denoiser.network

    def decode(self, x: Tensor, preview: bool = False) -> Tensor:
        """[-1, 1] to 0..255, rounded to the nearest and clipped."""
        import torch

        return ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
