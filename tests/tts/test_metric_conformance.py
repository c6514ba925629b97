"""Metrics keep to the rules of :mod:`tts.testing`, and the rules catch those that do not."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from own_metrics import ColourSpread
from torch import Tensor

from tts.metrics.base import Metric, MetricSettings, MetricValue
from tts.metrics.frechet_judge import FrechetJudge
from tts.testing import MetricConformance, Violation

pytestmark = pytest.mark.usefixtures("one_thread")


class TestMetrics(MetricConformance):
    """A metric of the package, and one as a user would write it."""

    @pytest.fixture(scope="class", params=[FrechetJudge, ColourSpread])
    @classmethod
    def metric(cls, request: pytest.FixtureRequest) -> MetricSettings:
        return request.param()  # type: ignore[no-any-return]


class Greys(MetricSettings):
    """Mean grey, with a fault that a test chooses."""

    how: str = "right"

    @property
    def extractor(self) -> str:
        return "" if self.how == "nameless" else "mean grey"

    def load(self, device: str = "cpu") -> Metric:
        return GreyFeatures(self.how)

    def aggregate(self, features: Any, reference: Any) -> MetricValue:
        value = float(features.mean())
        found: dict[str, Any] = {
            "bare": value,
            "numpy": MetricValue(np.float32(value)),  # type: ignore[arg-type]
            "outside": MetricValue(value, value + 1, value + 2),
            "first": MetricValue(float(features[0, 0])),
        }
        if self.how == "overwrites":
            features[:] = 0
        return found.get(self.how, MetricValue(value, value - 1, value + 1))  # type: ignore[no-any-return]


class GreyFeatures:
    """Features with the chosen fault."""

    host = True

    def __init__(self, how: str) -> None:
        self.how = how

    def features(self, images: Tensor) -> Tensor:
        grey = images.float().mean(dim=(1, 2, 3))[:, None]
        if self.how == "writes":
            images.zero_()
        found = {
            "flat": grey[:, 0],
            "doubles": grey.double(),
            "infinite": grey / 0,
            "growing": grey.expand(-1, len(grey)),
            "relative": grey - grey.mean(),
            "alone": grey + 0.001 * (len(grey) < 4),
            "draws": grey + torch.rand(1),
            "list": grey.tolist(),
        }
        return found.get(self.how, grey)  # type: ignore[return-value]


FAULTY_METRICS = {
    "nameless": ("identity", "its extractor is ''"),
    "list": ("form", "features() gives a list; give a tensor"),
    "flat": ("form", "features() gives [1] for 1 images; give [B, F]"),
    "doubles": ("form", "features() gives torch.float64; end with .float()"),
    "infinite": ("form", "features() gives NaN or infinity"),
    "growing": ("form", "features() gives vectors of [1, 3, 6] numbers"),
    "relative": ("rows", "use no statistics over the batch"),
    "alone": ("rows", "images have other features in a batch of 1 than in one of 6, and batches of the host have any"),
    "draws": ("repeats", "the same images have other features again"),
    "writes": ("repeats", "features() writes into the images"),
    "bare": ("value", "aggregate() gives a float; give a MetricValue"),
    "numpy": ("value", "give Python's floats"),
    "outside": ("value", "does not hold its value"),
    "overwrites": ("value", "aggregate() writes into the features"),
    "first": ("value", "of the same images in another order"),
}


@pytest.mark.parametrize("how", FAULTY_METRICS)
def test_a_faulty_metric_is_told_what_is_wrong(how: str) -> None:
    rule, message = FAULTY_METRICS[how]
    with pytest.raises(Violation, match=re.escape(message)):
        getattr(MetricConformance(), f"test_{rule}")(Greys(how=how))


def test_a_sound_metric_keeps_to_the_rules() -> None:
    metric = Greys()
    for name, check in vars(MetricConformance).items():
        if name.startswith("test_"):
            check(MetricConformance(), metric)
