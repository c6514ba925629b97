"""What every metric of a set of images must keep to."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, ClassVar

from tts.engine.small_batches import REMEDY, small_batches
from tts.metrics.base import Metric, MetricSettings, MetricValue
from tts.settings import parse
from tts.testing.requirement import plain, refuses_unknown_keys, require, round_trip

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


class MetricConformance:
    """Checks of a metric on random images.

    Attributes:
        size: height and width of the images.
        count: images that a value is of.
    """

    size: ClassVar[int] = 32
    count: ClassVar[int] = 12
    _loaded: ClassVar[list[tuple[MetricSettings, Metric]]] = []

    def load(self, metric: MetricSettings) -> Metric:
        """The metric, ready; the last one is kept for the next check."""
        if not self._loaded or self._loaded[0][0] is not metric:
            self._loaded[:] = [(metric, metric.load("cpu"))]
        return self._loaded[0][1]

    def images(self, count: int, seed: int = 0) -> Tensor:
        """Random images, ``[count, 3, size, size]`` uint8."""
        import torch

        draw = torch.Generator().manual_seed(seed)
        return torch.randint(0, 256, (count, 3, self.size, self.size), generator=draw, dtype=torch.uint8)

    def features(self, metric: MetricSettings, images: Tensor) -> Tensor:
        """Features as an engine computes them."""
        import torch

        with torch.inference_mode():
            return self.load(metric).features(images)

    def rows(self, metric: MetricSettings) -> NDArray[np.float32]:
        """Features of some images, as they are stored."""
        return self.features(metric, self.images(self.count)).float().numpy()

    def test_settings(self, metric: MetricSettings) -> None:
        """Its settings can be written to a configuration and read again; others are refused."""
        round_trip(metric)
        refuses_unknown_keys(metric)

    def test_identity(self, metric: MetricSettings) -> None:
        """Its identity is plain JSON and its extractor a text, the same for the same settings."""
        plain(metric.identity(), "identity()")
        again = parse(type(metric), json.loads(json.dumps(metric.record())), "the same")
        require(metric.identity() == again.identity(), "identity() differs between two objects with the same settings")
        extractor: object = metric.extractor
        require(
            isinstance(extractor, str) and extractor != "", f"its extractor is {extractor!r}; say in words what it is"
        )

    def test_form(self, metric: MetricSettings) -> None:
        """Features are [B, F] float32, finite, F being always the same."""
        import torch

        widths = set[int]()
        for count in (1, 3, 6):
            found = self.features(metric, self.images(count))
            require(isinstance(found, torch.Tensor), f"features() gives a {type(found).__name__}; give a tensor")
            shape = tuple(found.shape)
            require(
                len(shape) == 2 and shape[0] == count, f"features() gives {[*shape]} for {count} images; give [B, F]"
            )
            require(found.dtype == torch.float32, f"features() gives {found.dtype}; end with .float()")
            require(bool(torch.isfinite(found).all()), "features() gives NaN or infinity")
            widths.add(shape[1])
        require(len(widths) == 1, f"features() gives vectors of {sorted(widths)} numbers; their length must be one")

    def test_rows(self, metric: MetricSettings) -> None:
        """An image's features do not depend on the images beside it, nor on its place."""
        import torch

        images, others = self.images(6), self.images(6, seed=1)
        first = self.features(metric, images)
        same = torch.equal(self.features(metric, images.flip(0)).flip(0), first)
        others[3] = images[0]
        same = same and torch.equal(self.features(metric, others)[3], first[0])
        require(same, "an image has other features in another batch; use no statistics over the batch")
        for count in small_batches(self.load(metric)):
            require(
                torch.equal(self.features(metric, images[:count]), first[:count]),
                f"images have other features in a batch of {count} than in one of 6, and batches of the host have any "
                f"size; {REMEDY}",
            )

    def test_repeats(self, metric: MetricSettings) -> None:
        """The same images have the same features again, and stay as they are."""
        import torch

        images = self.images(4)
        first = self.features(metric, images)
        again = self.features(metric, self.images(4))
        require(torch.equal(first, again), "the same images have other features again; draw nothing at random")
        require(torch.equal(images, self.images(4)), "features() writes into the images")

    def test_value(self, metric: MetricSettings) -> None:
        """Its value is a MetricValue whose interval holds it; it does not depend on the images' order."""
        rows, reference = self.rows(metric), metric.reference()
        given = rows.copy()
        found: object = metric.aggregate(given, reference)
        if not isinstance(found, MetricValue):
            require(False, f"aggregate() gives a {type(found).__name__}; give a MetricValue(value, low, high)")
            return
        require(all(isinstance(number, float) for number in found), f"aggregate() gives {found}; give Python's floats")
        inside = math.isnan(found.low) or math.isnan(found.value) or found.low <= found.value <= found.high
        require(inside, f"its interval {found.low:.6g} to {found.high:.6g} does not hold its value {found.value:.6g}")
        require(bool((given == rows).all()), "aggregate() writes into the features")
        turned = metric.aggregate(rows[::-1].copy(), reference).value
        close = math.isclose(turned, found.value, rel_tol=1e-4, abs_tol=1e-6) or math.isnan(found.value)
        require(close, f"its value is {found.value:.6g}, and {turned:.6g} of the same images in another order")
