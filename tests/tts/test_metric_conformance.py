"""Metrics keep to their rules, and those with faults are told so."""

from __future__ import annotations

import pytest
from metric_faults import Flat, Neighbours
from own_metrics import ColourSpread

from tts.metrics.base import MetricSettings
from tts.metrics.frechet_judge import FrechetJudge
from tts.testing import MetricConformance, Violation
from tts.testing.checking import check


class TestMetrics(MetricConformance):
    @pytest.fixture(params=[ColourSpread, FrechetJudge])
    def metric(self, request: pytest.FixtureRequest) -> MetricSettings:
        made: MetricSettings = request.param()
        return made


def test_faults_are_found() -> None:
    with pytest.raises(Violation, match="use no statistics over the batch"):
        MetricConformance().test_rows(Neighbours())
    with pytest.raises(Violation, match=r"features of 1 images are torch.float32 \[1\]; give \[B, F\] float32"):
        MetricConformance().test_features(Flat())


def test_the_command_checks_metrics() -> None:
    assert check("own_metrics:ColourSpread").sound
    assert check("frechet_judge").kind == "metric"
    assert not check("metric_faults:Neighbours").sound
