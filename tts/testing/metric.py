"""What every metric of sets of images must keep to."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from tts.metrics.base import Metric, MetricSettings
from tts.settings import parse
from tts.testing.requirement import plain, refuses_unknown_keys, require, round_trip

if TYPE_CHECKING:
    from torch import Tensor


class MetricConformance:
    """Checks of a metric on random images.

    Attributes:
        size: height and width of the images.
    """

    size: ClassVar[int] = 32

    def images(self, count: int, seed: int = 0) -> Tensor:
        """Random images, ``[count, 3, size, size]`` uint8."""
        import torch

        draw = torch.Generator().manual_seed(seed)
        return torch.randint(0, 256, (count, 3, self.size, self.size), generator=draw, dtype=torch.uint8)

    def test_settings(self, metric: MetricSettings) -> None:
        """Its settings can be written to a configuration and read again; others are refused."""
        round_trip(metric)
        refuses_unknown_keys(metric)

    def test_identity(self, metric: MetricSettings) -> None:
        """Its identity and its extractor are plain, and the same for the same settings."""
        plain(metric.identity(), "identity()")
        require(isinstance(metric.extractor, str) and metric.extractor != "", "extractor must be a text")
        again = parse(type(metric), json.loads(json.dumps(metric.record())), "the same")
        same = (again.identity(), again.extractor) == (metric.identity(), metric.extractor)
        require(same, "identity() or extractor differs between two objects with the same settings")

    def test_features(self, metric: MetricSettings) -> None:
        """Features are [B, F] float32, F being always the same."""
        found = metric.load()
        require(isinstance(found.host, bool), "its 'host' is no bool: True for the CPU beside the device, else False")
        sizes = {self._features(found, count).shape[1] for count in (1, 2, 5)}
        require(len(sizes) == 1, f"features of different batches have {sorted(sizes)} columns")

    def test_rows(self, metric: MetricSettings) -> None:
        """An image's features do not depend on the images beside it."""
        import torch

        found, images = metric.load(), self.images(6)
        there, back = found.features(images), found.features(images.flip(0)).flip(0)
        others = self.images(6, seed=1)
        others[3] = images[3]
        mixed = found.features(others)[3]
        same = torch.equal(there, back) and torch.equal(there[3], mixed)
        require(
            same, "an image has other features at another place among other images; use no statistics over the batch"
        )

    def test_value(self, metric: MetricSettings) -> None:
        """Its value is a number with its interval around it, the same again for the same features."""
        reference = metric.reference()
        features = self._features(metric.load(), 40).numpy()
        value, low, high = found = metric.aggregate(features, reference)
        require(math.isfinite(value), f"aggregate() of 40 images gives {value}")
        require(math.isnan(low) == math.isnan(high), f"the interval has one end only: {low}, {high}")
        require(math.isnan(low) or low <= value <= high, f"the value {value} is not in its interval [{low}, {high}]")
        again = metric.aggregate(features.copy(), reference)
        require(repr(tuple(again)) == repr(tuple(found)), f"the same features give {tuple(found)}, then {tuple(again)}")

    def test_one_image(self, metric: MetricSettings) -> None:
        """Of one image its value is a number or NaN, without an exception."""
        value = metric.aggregate(self._features(metric.load(), 1).numpy(), metric.reference()).value
        require(isinstance(value, float | np.floating), f"aggregate() of one image gives a {type(value).__name__}")

    def _features(self, found: Metric, count: int) -> Tensor:
        import torch

        features = found.features(self.images(count))
        form = f"{features.dtype} {list(features.shape)}"
        good = features.dtype == torch.float32 and features.ndim == 2 and len(features) == count
        require(good, f"features of {count} images are {form}; give [B, F] float32")
        return features
