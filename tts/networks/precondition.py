"""EDM preconditioning of a raw network (Karras et al. 2022, arXiv 2206.00364, Table 1 and Eq. 7)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class EDMPrecond(nn.Module):
    r"""Denoiser ``D(x; sigma, y) = c_skip x + c_out F(c_in x; c_noise, y)`` around a raw network ``F``.

    .. math::
        c_{skip} = \frac{s^2}{\sigma^2 + s^2},\quad c_{out} = \frac{\sigma s}{\sqrt{\sigma^2 + s^2}},\quad
        c_{in} = \frac{1}{\sqrt{\sigma^2 + s^2}},\quad c_{noise} = \frac{\ln\sigma}{4},\quad s = \sigma_{data}

    The coefficients are computed in float64 and rounded once, so that a row's result does not depend on the
    number of rows in the batch.

    Args:
        network: ``F(x, c_noise, y) -> Tensor`` shaped like ``x``; x ``[B, C, H, W]``, c_noise ``[B]``, y ``[B]``.
        sigma_data: standard deviation of the data, in the data's own units.
    """

    def __init__(self, network: nn.Module, sigma_data: float = 0.5) -> None:
        super().__init__()
        self.network = network
        self.sigma_data = sigma_data

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        """Posterior mean of the clean image.

        Args:
            x: noisy images, ``[B, C, H, W]`` float.
            sigma: noise levels > 0, ``[B]`` float64.
            labels: class indices, ``[B]`` int64.

        Returns:
            Clean images, ``[B, C, H, W]``, same dtype as ``x``.
        """
        s, v = sigma.double(), sigma.double() ** 2 + self.sigma_data**2
        c_skip, c_out = self.sigma_data**2 / v, s * self.sigma_data / v.sqrt()
        c_in, c_noise = 1 / v.sqrt(), s.log() / 4
        precision = next(self.network.parameters(), x).dtype  # the network's precision only
        F = self.network((_rows(c_in, x) * x).to(precision), c_noise.to(x.dtype), labels)
        D: Tensor = _rows(c_skip, x) * x + _rows(c_out, x) * F.to(x.dtype)
        return D


def _rows(c: Tensor, x: Tensor) -> Tensor:
    """Coefficients ``[B]`` ready to multiply ``x`` ``[B, C, H, W]``."""
    return c.to(x.dtype).view(-1, *[1] * (x.ndim - 1))


def edm_loss(denoiser: Callable[..., Tensor], x: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
    """EDM's training loss, weighted so that it is about 1 for an untrained network (Karras et al. 2022, Eq. 2).

    ``ln(sigma) ~ N(-1.2, 1.2^2)``; weight ``(sigma^2 + s^2) / (sigma s)^2``.

    Args:
        denoiser: an :class:`EDMPrecond`, or a compiled one, with ``sigma_data`` 0.5.
        x: clean images in [-1, 1], ``[B, C, H, W]`` float32.
        labels: class indices, ``[B]`` int64.
        generator: the only source of randomness, on the CPU.

    Returns:
        Mean loss, scalar float32.
    """
    sigma = (1.2 * torch.randn(len(x), generator=generator) - 1.2).exp().to(x.device)
    noise = torch.randn(x.shape, generator=generator).to(x.device)
    weight = (sigma**2 + 0.25) / (0.5 * sigma) ** 2
    D = denoiser(x + _rows(sigma, x) * noise, sigma, labels)
    loss: Tensor = (_rows(weight, x) * (D - x).float().square()).mean()
    return loss
