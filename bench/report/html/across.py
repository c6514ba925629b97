"""Compare runs of different models, steps or samplers with the same rewards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from bench.report.across_looks import across_looks
from bench.report.html.analysis import SEARCHED, Analysis
from bench.report.models import model_names, steps_of
from bench.report.palette import CurveStyle
from bench.report.plots import Axis
from bench.report.prices import Prices
from bench.statistics.across import MONEY, Across, Sampled, across
from bench.statistics.crossovers import frontier_crossovers
from bench.statistics.matched import matched_of, shared_costs
from bench.statistics.observations import observations
from tts.settings import canonical


@dataclass(frozen=True)
class CostAxis:
    """A cost that compares between models.

    Args:
        axis: as charts have it, in its own unit.
        unit: for people; ``scale`` of them are one of the axis' unit.
    """

    axis: Axis
    unit: str
    scale: float

    @property
    def column(self) -> str:
        """Of the points."""
        return self.axis.column


COST_AXES = (
    CostAxis(Axis("flops", "denoiser FLOPs per image", "FLOPs"), "TFLOP an image", 1e-12),
    CostAxis(Axis("device_seconds", "device-seconds per image", "device-seconds"), "device-seconds an image", 1.0),
    CostAxis(Axis(MONEY, "money per image", "money"), "money per 1,000 images", 1000.0),
)


def comparable_models(analyses: Sequence[Analysis]) -> list[list[Analysis]]:
    """Those of several models that have the same rewards, seed and classes, so that their problems are the same.

    Of a model that was run with several numerics the first is taken: curves of both would have one name.
    """
    groups: dict[str, list[dict[str, Analysis]]] = {}
    for analysis in analyses:
        resolved = analysis.runs[0].manifest["resolved"]
        key = canonical({name: resolved.get(name) for name in ("rewards", "seed")})
        if len(analysis.finished):
            found = groups.setdefault(key, [])
            alike = (each for each in found if all(_have_same_classes(analysis, other) for other in each.values()))
            models = next(alike, None)
            if models is None:
                found.append(models := {})
            models.setdefault(canonical(resolved["model"]), analysis)
    return [list(models.values()) for found in groups.values() for models in found if len(models) > 1]


def _have_same_classes(one: Analysis, other: Analysis) -> bool:
    """Whether no condition has two names: class 3 of CIFAR-10 is a cat, that of ImageNet a shark."""
    names = _names(other)
    return all(names.get(condition, name) == name for condition, name in _names(one).items())


def _names(analysis: Analysis) -> dict[str, str]:
    """The names of conditions that have one; a class's index is none."""
    table = analysis.finished[["condition", "label"]].drop_duplicates("condition").astype(str)
    return {condition: label for condition, label in table.itertuples(index=False) if label != condition}


class AcrossModels:
    """What is computed from several models together; each thing once, when it is needed.

    Args:
        analyses: at least two, of :func:`comparable_models`.
        prices: of an hour of each device.
    """

    def __init__(self, analyses: Sequence[Analysis], prices: Prices) -> None:
        self.analyses, self.prices = analyses, prices
        self.over, self.baseline = analyses[0].over, analyses[0].baseline
        self.devices = sorted({str(name) for each in analyses for name in each.finished["device"].dropna().unique()})

    @cached_property
    def scores(self) -> list[str]:
        """The rewards that score images: the one searched on, and the others that every run has."""
        found = [set(analysis.scored) - {SEARCHED} for analysis in self.analyses]
        return [SEARCHED, *sorted(set.intersection(*found))]

    @cached_property
    def measured(self) -> dict[str, Across]:
        """Curves of all models by what scores them."""
        return {score: self._measured(score) for score in self.scores}

    def _measured(self, score: str) -> Across:
        names = model_names([analysis.runs[0].manifest for analysis in self.analyses])
        found = []
        for analysis, (name, family) in zip(self.analyses, names, strict=True):
            seen = analysis.observed if score == SEARCHED else _scored(analysis, score)
            price = self.prices.of(analysis.finished["device"])
            found.append(Sampled(name, family, steps_of(analysis.runs[0].manifest), seen, price))
        return across(found)

    @cached_property
    def points(self) -> dict[str, pd.DataFrame]:
        """Means of all points by what scores them."""
        return {score: each.points(self.over) for score, each in self.measured.items()}

    @cached_property
    def looks(self) -> dict[str, CurveStyle]:
        """How curves are drawn, by label."""
        return across_looks({label: curve for each in self.measured.values() for label, curve in each.curves.items()})

    @cached_property
    def axes(self) -> list[CostAxis]:
        """Costs that every model's runs have, and that mean the same on all of them."""
        return [axis for axis in COST_AXES if self._is_known(axis.column)]

    def _is_known(self, column: str) -> bool:
        if column == "device_seconds" and len(self.devices) > 1:
            return False
        frame = self.points[SEARCHED]
        return all((part[column] > 0).any() for _, part in frame.groupby("model"))

    @cached_property
    def frontier(self) -> pd.DataFrame:
        """The best curve at each cost, by what scores it, reward and axis."""
        frames = [
            matched_of(
                [panel], _round_costs(shared_costs(panel, axis.column)), axis.column, self.over, self.baseline
            ).assign(scored_on=score)
            for score, each in self.measured.items()
            for panel in each.panels
            for axis in self.axes
        ]
        return pd.concat([frame for frame in frames if len(frame)] or frames[:1], ignore_index=True)

    @cached_property
    def crossovers(self) -> pd.DataFrame:
        """Where the best curve changes, by what scores it, reward and axis."""
        frames = [
            frontier_crossovers(panel, axis.column, self.over).assign(scored_on=score)
            for score, each in self.measured.items()
            for panel in each.panels
            for axis in self.axes
        ]
        return pd.concat([frame for frame in frames if len(frame)] or frames[:1], ignore_index=True)

    def front(self, score: str) -> dict[tuple[str, str], set[str]]:
        """The curves of the frontier, by reward and axis."""
        found: dict[tuple[str, str], set[str]] = {}
        for frame, columns in ((self.frontier, ["winner"]), (self.crossovers, ["behind", "ahead"])):
            for row in frame[frame["scored_on"] == score].to_dict("records"):
                found.setdefault((row["reward"], row["axis"]), set()).update(row[column] for column in columns)
        return found


def _scored(analysis: Analysis, score: str) -> pd.DataFrame:
    return observations(analysis.scored_by(score), analysis.flops, ())


def _round_costs(costs: Sequence[float]) -> list[float]:
    """1, 2 and 5 of each power of ten between the first and the last; where there is none, the costs themselves."""
    if not costs:
        return []
    low, high = min(costs), max(costs)
    steps = [factor * 10.0**power for power in range(-30, 31) for factor in (1, 2, 5)]
    return [step for step in steps if low * (1 - 1e-9) <= step <= high * (1 + 1e-9)] or list(costs)
