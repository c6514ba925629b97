"""Searches on several models, steps or samplers as curves of one figure, over costs that mean the same on all."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.statistics.curves import curve_labels, label
from bench.statistics.intervals import Over, estimates
from bench.statistics.observations import COSTS
from bench.statistics.panel import Key, Panel, panels

PLAIN = "naive"
MORE_STEPS = "more steps"
MONEY = "money"


@dataclass(frozen=True)
class Sampled:
    """Trials of one model with one sampler.

    Args:
        name: of the model with its sampler, among those that it is compared with.
        family: the same name without the number of steps.
        steps: of the sampler; None: it has none.
        observed: as :func:`bench.statistics.observations.observations` returns them.
        price: of an hour of its device; NaN: unknown.
    """

    name: str
    family: str
    steps: int | None
    observed: pd.DataFrame
    price: float = math.nan


@dataclass(frozen=True)
class Curve:
    """A curve of the figure.

    Args:
        label: tells it from all others.
        model: whose it is: a name of :class:`Sampled`, or the family where the budget is spent on steps.
        search: registered name; ``naive`` where the budget is spent on steps.
        own: its label among the curves of its model.
    """

    label: str
    model: str
    search: str
    own: str


@dataclass(frozen=True)
class Across:
    """What was measured on several models.

    Args:
        panels: one a reward, with the costs of COSTS and ``money``.
        curves: all of them, by label.
    """

    panels: list[Panel]
    curves: dict[str, Curve]

    def points(self, over: Over = "problems") -> pd.DataFrame:
        """Means of all points with their 95 % intervals: reward, curve, model, search, budget, costs, n, mean, ..."""
        frames = [self._points(panel, over) for panel in self.panels]
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()

    def _points(self, panel: Panel, over: Over) -> pd.DataFrame:
        there = [~pd.isna(panel.values[:, point]) for point in range(len(panel.points))]
        values = [panel.values[known, point] for point, known in enumerate(there)]
        conditions = [panel.conditions[known] for known in there] if over == "conditions" else None
        found = pd.DataFrame([each._asdict() for each in estimates(values, conditions)])
        frame = panel.points.assign(reward=panel.reward).join(found)
        return frame.assign(model=[self.curves[str(curve)].model for curve in frame["curve"]])


def across(sampled: Sequence[Sampled]) -> Across:
    """Every search on every model as a curve of its own; plain samples of a model at several steps are one curve.

    That curve, the same budget spent on steps without any search, is the control of all others.

    Args:
        sampled: of the same problems and rewards, so that all are compared on the same problems.

    Raises:
        SettingError: a point has several trials of one problem.
    """
    several = {one.family for one in sampled if len({each.steps for each in sampled if each.family == one.family}) > 1}
    frames, labels, curves = [], dict[Key, str](), dict[str, Curve]()
    for one in sampled:
        frame = one.observed.assign(settings=[_with_model(text, one.name) for text in one.observed["settings"]])
        frame = frame.assign(**{MONEY: frame["device_seconds"] / 3600 * one.price})
        if one.family in several:
            plain = frame["search"] == PLAIN
            frame.loc[plain, "budget"], frame.loc[plain, "budget_value"] = "steps", float(one.steps or 0)
        own = curve_labels(one.observed)
        for point in one.observed[["search", "settings", "budget"]].drop_duplicates().to_dict("records"):
            more = point["search"] == PLAIN and one.family in several
            curve = _curve(
                one, str(point["search"]), label(own, {str(name): value for name, value in point.items()}), more
            )
            curves[curve.label] = curve
            budget = "steps" if more else point["budget"] if isinstance(point["budget"], str) else None
            labels[str(point["search"]), _with_model(point["settings"], one.name), budget] = curve.label
        frames.append(frame)
    return Across(panels(pd.concat(frames, ignore_index=True), labels, [*COSTS, MONEY]), curves)


def _curve(one: Sampled, search: str, own: str, more: bool) -> Curve:
    if more:
        return Curve(f"{one.family}: {MORE_STEPS}", one.family, search, MORE_STEPS)
    return Curve(f"{one.name}: {own}", one.name, search, own)


def _with_model(settings: Any, model: str) -> str:
    """A point's settings with its model among them, so that no two models share a point."""
    return json.dumps({**json.loads(str(settings)), "model": model}, sort_keys=True)
