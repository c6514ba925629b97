"""Runs whose trials may be compared, and everything that is computed from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from bench.report.grid import pictured
from bench.report.html.measured import Measured, Traces
from bench.report.html.names import settings_text
from bench.report.metrics import SetMetrics, metrics_of
from bench.report.palette import CurveStyle, curve_styles
from bench.report.runs import Run, each_once
from bench.report.summary import comparable, shown_images
from bench.statistics import trace_analysis
from bench.statistics.comparisons import compare_to
from bench.statistics.curves import curve_labels, curves, relabelled
from bench.statistics.features import image_features, reference_moments
from bench.statistics.hacking import diversity, frechet, prediction_gap, score_matrix
from bench.statistics.intervals import Over
from bench.statistics.matched import matched
from bench.statistics.observations import observations
from bench.statistics.returns import returns
from bench.statistics.saturation import saturation
from bench.statistics.sensitivity import sensitivity
from bench.store import trace
from bench.store.schema import SCORE
from bench.store.storage import Output
from bench.study.labels import Curve
from tts.errors import SettingError
from tts.settings import nearest

TIMES = ("device_seconds", "wall_seconds")
POINT = ["reward", "search", "settings"]


def load(
    outputs: Sequence[Output], baseline: str, features: bool = True, over: Over = "problems", trust: bool = False
) -> list[Analysis]:
    """Read runs, those that may be compared together; the arguments are those of :class:`Analysis`.

    Raises:
        DataError: there is no run, or no finished trial.
        SettingError: no run has a trial of the baseline.
    """
    groups = comparable(outputs)
    runs = [[Run.at(outputs[number]) for number in group] for group in groups]
    found = [Analysis(group, baseline, features, over, trust) for group in runs]
    searches = sorted({str(name) for analysis in found for name in analysis.finished["search"].unique()})
    if searches and baseline not in searches:
        raise SettingError(f"--baseline {baseline}: no trial of this search; {nearest(baseline, searches)}")
    return found


class Analysis:
    """What is computed from runs of the same model, rewards, seed and numerics; each thing once, when it is needed.

    Args:
        runs: at least one.
        baseline: the search with which others are compared.
        features: whether the images' features may be computed.
        over: what intervals are over: these problems, or conditions like these.
        trust: manifests may name metrics that are code of their own.
    """

    def __init__(
        self,
        runs: list[Run],
        baseline: str,
        features: bool = True,
        over: Over = "problems",
        trust: bool = False,
    ) -> None:
        self.runs, self.baseline, self.with_features, self.over, self.trust = runs, baseline, features, over, trust
        frames = [run.trials.assign(run=place) for place, run in enumerate(runs)]
        everything = pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0]
        everything = everything.sort_values("error", na_position="first", kind="stable")
        self.trials = each_once(everything)
        """Every trial once on each of its curves, the failed among them; ``run`` is the place of its run."""
        self.finished = self.trials[self.trials["error"].isna()]
        self.failed = self.trials[self.trials["error"].notna()]

    @cached_property
    def flops(self) -> float | None:
        """FLOPs of one denoiser forward of one image; None: not known."""
        found = [run.manifest.get("flops") for run in self.runs]
        return next((float(value) for value in found if value), None)

    @cached_property
    def levels(self) -> list[float]:
        """Noise levels before each step and after the last; empty: not known."""
        return next((run.manifest["levels"] for run in self.runs if run.manifest.get("levels")), [])

    @cached_property
    def rewards(self) -> list[str]:
        """The rewards that were searched on."""
        return sorted(map(str, self.finished["reward"].unique()))

    @cached_property
    def scores(self) -> list[str]:
        """The rewards that every final image was scored by."""
        names = [name for name in self.finished.columns if name.startswith(SCORE)]
        return sorted(name.removeprefix(SCORE) for name in names if self.finished[name].notna().any())

    @cached_property
    def observed(self) -> pd.DataFrame:
        """Finished trials as the statistics take them, with best-of-k from the samples of best-of-N."""
        return observations(self.finished, self.flops)

    def scored_by(self, reward: str) -> pd.DataFrame:
        """:attr:`finished` with another reward of the same images as their value."""
        return self.finished.assign(value=self.finished[f"{SCORE}{reward}"])

    @cached_property
    def curves(self) -> pd.DataFrame:
        """Curves of the rewards that were searched on."""
        return curves(self.observed, self.flops, over=self.over)

    @cached_property
    def scored(self) -> dict[str, pd.DataFrame]:
        """Curves by the reward that scores them; where only the searched one does, none but these."""
        others = self.scores if set(self.scores) - set(self.rewards) or len(self.scores) > 1 else []
        return {SEARCHED: self.curves} | {name: self._scored(name) for name in others}

    def _scored(self, name: str) -> pd.DataFrame:
        return curves(self.scored_by(name), self.flops, best_of=(), over=self.over)

    @cached_property
    def labels(self) -> dict[Curve, str]:
        """Labels of the curves of all runs, by search, settings and budget."""
        return curve_labels(self.finished)

    @cached_property
    def looks(self) -> dict[str, CurveStyle]:
        """How each curve is drawn, by label."""
        return curve_styles(list(zip(self.curves["search"], self.curves["curve"], strict=True)))

    def name(self, label: str) -> str:
        """A curve's name for people."""
        return self.looks[label].name if label in self.looks else str(label)

    @cached_property
    def about(self) -> dict[str, str]:
        """The settings of points for people, by their JSON."""
        return {text: settings_text(text) for text in map(str, self.curves["settings"].unique())}

    @cached_property
    def largest(self) -> pd.DataFrame:
        """The point of each curve that spends most, of those that were really run."""
        run = self.curves[~self.curves["derived"].astype(bool)]
        return run.sort_values("nfe", kind="stable").drop_duplicates(["reward", "curve"], keep="last").sort_index()

    @cached_property
    def compared(self) -> pd.DataFrame:
        """Every point against the baseline; empty where there is no baseline, or nothing else."""
        if not (self.finished["search"] == self.baseline).any():
            return pd.DataFrame()
        return compare_to(self.observed, self.baseline, self.flops, self.over)

    @cached_property
    def matched(self) -> pd.DataFrame:
        """Who wins at equal NFE."""
        return matched(self.observed, flops=self.flops, over=self.over, baseline=self.baseline)

    @cached_property
    def returns(self) -> pd.DataFrame:
        """What a doubling of the compute brings."""
        return returns(self.observed, flops=self.flops, over=self.over)

    @cached_property
    def saturation(self) -> pd.DataFrame:
        """Fitted saturating curves."""
        return saturation(self.observed, flops=self.flops)

    @cached_property
    def sensitivity(self) -> pd.DataFrame:
        """What one setting of each search does at one cost."""
        return sensitivity(self.curves)

    @cached_property
    def matched_times(self) -> dict[str, pd.DataFrame]:
        """Who wins at equal time, by the column that measures it; none where devices of several kinds took part."""
        if self.finished["device"].nunique() > 1:
            return {}
        how: dict[str, Any] = {"flops": self.flops, "over": self.over, "baseline": self.baseline}
        found = {axis: matched(self.observed, axis=axis, **how) for axis in TIMES}
        return {axis: frame for axis, frame in found.items() if len(frame)}

    @cached_property
    def shown(self) -> pd.DataFrame:
        """Trials of :attr:`largest`."""
        points = pd.MultiIndex.from_frame(self.largest[POINT])
        return self.finished[pd.MultiIndex.from_frame(self.finished[POINT]).isin(points)]

    @cached_property
    def matrix(self) -> pd.DataFrame:
        """What the largest point of each curve does to every reward."""
        plain = self.finished[self.finished["search"] == "naive"]
        return score_matrix(pd.concat([self.shown, plain]).drop_duplicates(["trial", "budget"]))

    @cached_property
    def best_scores(self) -> pd.DataFrame:
        """Of :attr:`matrix`, for each reward, the curve with the highest mean."""
        best = self.largest.sort_values("mean", na_position="first").drop_duplicates("reward", keep="last")
        points = pd.MultiIndex.from_frame(best[POINT])
        return self.matrix[pd.MultiIndex.from_frame(self.matrix[POINT]).isin(points)]

    @cached_property
    def evaluations(self) -> pd.DataFrame | None:
        """The traces of :attr:`shown`; None where no run has one."""
        frames, shown = [], self.shown.drop_duplicates("trial")
        for place, run in enumerate(self.runs):
            if trace.names(run.output):
                found = trace.read(run.output, [*trace_analysis.COLUMNS, "stop"])
                frames.append(found[found["trial"].isin(shown.loc[shown["run"] == place, "trial"])])
        return pd.concat(frames, ignore_index=True) if sum(map(len, frames)) else None

    @cached_property
    def trace(self) -> Traces | None:
        """Figures from the traces; None where no run has one."""
        if self.evaluations is None:
            return None
        by_step = trace_analysis.wins(self.evaluations, self.shown)
        found = (
            trace_analysis.reward_so_far(self.evaluations, self.shown),
            trace_analysis.gain_by_step(self.evaluations, self.shown),
            by_step,
            trace_analysis.all_wins(by_step),
        )
        labels = self.largest[[*POINT, "curve"]]
        return Traces(*(_labelled(frame, labels) for frame in found))

    @cached_property
    def gaps(self) -> pd.DataFrame | None:
        """Rewards of predicted and final images; None without a trace, or where no search judges by predictions."""
        if self.evaluations is None:
            return None
        found = prediction_gap(self.shown, self.evaluations)
        return None if found.empty else relabelled(found, self.labels)

    @cached_property
    def images(self) -> dict[str, bytes | None]:
        """Images of the trials that the grids show, by trial."""
        wanted = self.finished[self.finished["trial"].isin(pictured(self.finished))]
        found: dict[str, bytes | None] = {}
        for place, run in enumerate(self.runs):
            found |= shown_images(run.output, wanted[wanted["run"] == place])
        return found

    @cached_property
    def metrics(self) -> SetMetrics:
        """Metrics of sets of images, of each run by itself."""
        found = metrics_of([run.output for run in self.runs], [run.finished for run in self.runs], self.trust)
        return replace(found, values=relabelled(found.values, self.labels))

    @cached_property
    def features(self) -> Measured | str:
        """Diversity and distance from real images, or why there are none."""
        if not self.with_features:
            return "They were not asked for (--no-features)."
        if self.runs[0].manifest["resolved"]["model"]["name"] != "cifar10":
            return "They are computed here for the embedded model only; bench.statistics.features has those of others."
        if len(self.shown) > FEATURE_IMAGES:
            return f"There are more than {FEATURE_IMAGES:,} images; bench.statistics.features computes their features."
        if not any(self.images.values()):
            return "No images are stored."
        parts = [(run, self.shown[self.shown["run"] == place]) for place, run in enumerate(self.runs)]
        groups = [(run, trials) for run, trials in parts if len(trials)]
        found = [image_features(run.output, trials) for run, trials in groups]
        known = [features for features in found if not isinstance(features, str)]
        if len(known) < len(found):
            return next(features for features in found if isinstance(features, str))
        trials, values = pd.concat([trials for _, trials in groups]), np.concatenate([each.values for each in known])
        reference = reference_moments(known[0])
        distances = None if reference is None else frechet(trials, values, reference)
        return Measured(known[0].extractor, diversity(trials, values), distances)


FEATURE_IMAGES = 4000
"""More images than this are not computed anew for a report."""


SEARCHED = "searched"
"""The key of curves that are scored by the reward they searched on."""


def _labelled(frame: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """Rows of points with their curves; those of a point that ends two curves once for each."""
    return frame.merge(labels, "left", POINT)
