"""Reports of several runs that share trials, or of which some have less to show than others."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from matplotlib.figure import Figure
from report_runs import rewrite, small_run

from bench.report.html.analysis import load
from bench.report.html.page import render, write_report
from bench.statistics.features import Features


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_run(tmp_path_factory.mktemp("runs") / "run")


def test_a_trial_of_two_curves_counts_on_both(run: Path, tmp_path: Path) -> None:
    """One run has a point on its curve over K, the other, with the same trials, on its curve over N."""
    other = Path(shutil.copytree(run, tmp_path / "other"))

    def over_n(trials: pd.DataFrame) -> pd.DataFrame:
        mine = trials["search"] == "eps_greedy"
        return trials.assign(
            budget=trials["budget"].mask(mine, "N"), budget_value=trials["budget_value"].mask(mine, 4.0)
        )

    rewrite(other, over_n)
    [one] = load([run], "naive", features=False)
    [both] = load([run, other], "naive", features=False)
    mine = both.curves[both.curves["search"] == "eps_greedy"]
    assert mine.groupby("budget")["settings"].nunique().to_dict() == {"K": 2, "N": 2}
    assert mine["n"].eq(20).all()
    assert both.trials["trial"].nunique() == len(one.trials) == 100
    assert both.evaluations is not None
    assert not both.evaluations.duplicated(["trial", "round", "candidate"]).any()
    assert both.trace is not None
    assert both.trace.gain["curve"].notna().all()
    assert set(both.largest["curve"]) == set(both.trace.gain["curve"]) == set(both.matrix["curve"])
    assert "100 trials: 20 problems" in render([both])


def test_a_trial_that_failed_on_one_curve_and_is_finished_on_another_is_no_failure(run: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(run, tmp_path / "other"))
    rewrite(other, lambda trials: trials.assign(budget="N", error="out of memory"))
    [both] = load([run, other], "naive", features=False)
    assert (len(both.trials), len(both.failed)) == (100, 0)


@pytest.mark.parametrize("traced", [True, False])
def test_a_run_in_which_nothing_could_be_scored_is_reported(
    traced: bool, tmp_path: Path, undrawn: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Figure, "savefig", undrawn)
    run = small_run(tmp_path / "run")

    def unscored(trials: pd.DataFrame) -> pd.DataFrame:
        return trials.assign(value=None, score_brightness=None, score_compressibility=None, samples=None)

    rewrite(run, unscored)
    for part in (run / "evaluations").iterdir():
        evaluations = pq.read_table(part)
        part.unlink()
        if traced:
            empty = evaluations.to_pandas().assign(reward=None, best=None)
            pq.write_table(pa.Table.from_pandas(empty, evaluations.schema, preserve_index=False), part)
    write_report([run], features=False)
    page = (run / "report.html").read_text()
    assert "100 could not be scored" in page
    linked = set(re.findall('href="(report/[^"]*)"', page))
    assert linked == {f"report/{path.name}" for path in (run / "report").iterdir()}


def test_a_run_without_a_shown_trial_leaves_the_features_of_others(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def features_of(output: object, trials: pd.DataFrame) -> Features | str:
        values = np.random.default_rng(0).normal(size=(len(trials), 4)).astype(np.float32)
        return Features(values, "a judge") if len(trials) else "the run kept no images"

    monkeypatch.setattr("bench.report.html.analysis.image_features", features_of)
    less = small_run(tmp_path / "less", searches=[{"name": "best_of_n", "budget": {"N": [2]}}])
    for runs in ([less, run], [run, less]):
        [analysis] = load(runs, "naive")
        assert analysis.shown["run"].nunique() == 1
        assert not isinstance(analysis.features, str)
        assert set(analysis.features.diversity["curve"]) == set(analysis.largest["curve"])
