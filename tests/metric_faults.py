"""Metrics with faults."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from tts.metrics.base import Metric, MetricSettings, MetricValue


class _Faulty(MetricSettings):
    def aggregate(self, features: Any, reference: Any) -> MetricValue:
        """Never called."""
        raise AssertionError


class Neighbours(_Faulty):
    """A metric whose features depend on the whole batch."""

    @property
    def extractor(self) -> str:
        """Its name."""
        return "neighbours"

    def load(self, device: str = "cpu") -> Metric:
        """Itself."""
        return _Centred()


class _Centred:
    host = False

    def features(self, images: Tensor) -> Tensor:
        """Features minus those of the first row."""
        values = images.float().mean(dim=(2, 3))
        return values - values[:1]


class Flat(_Faulty):
    """A metric whose features lack an axis."""

    @property
    def extractor(self) -> str:
        """Its name."""
        return "flat"

    def load(self, device: str = "cpu") -> Metric:
        """Itself."""
        return _Flat()


class _Flat:
    host = True

    def features(self, images: Tensor) -> Tensor:
        """One number for each image."""
        return images.float().mean(dim=(1, 2, 3))
