"""Batches of the host have as many images as there are, so that the judges of images there must not depend on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tts.metrics.base import Metric
    from tts.rewards.base import Reward

REMEDY = "take the images one by one, or have host = False, where batches have one size"
"""What the author of such a judge can do."""


def small_batches(judge: Reward | Metric) -> tuple[int, ...]:
    """Numbers of images for which kernels often add in another order than for more; none if they need not be tried.

    Batches of a device are padded to one size, and services answer for themselves.
    """
    return (1, 3) if judge.host and not getattr(judge, "waits", False) else ()
