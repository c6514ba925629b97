"""Reports of several runs that share trials, or of which some have less to show than others."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import bench
from matplotlib.figure import Figure
from report_runs import rewrite, small_run

from bench.report.html.analysis import load
from bench.report.html.blocks import Table
from bench.report.html.page import render, write_report
from bench.report.html.page_data import Page
from bench.report.sections import environment, metrics, significance
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
    found = bench("curves", run)
    assert (found.code, found.err) == (0, "")
    assert f"{run}: curves.parquet, images.png" in found.out
    assert bench("export", run, "--to", tmp_path / "exported").code == 0


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


def test_a_search_that_could_not_be_scored_is_not_the_best(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    rewrite(
        copy, lambda trials: trials.assign(value=trials["value"].mask(trials["search"] == "best_of_n"), samples=None)
    )
    [analysis] = load([copy], "naive", features=False)
    assert set(analysis.best_scores["search"]) == {"eps_greedy"}


def lambda_run(folder: Path, size: float, device: str, metrics: list[dict[str, Any]]) -> Path:
    """A run with one of two searches that differ in lambda, and with problems of its own but for the first ten."""
    search = {"name": "eps_greedy", "N": 4, "lambda": size, "budget": {"K": [1, 2]}}
    named = [{"features": "judge", **each} for each in metrics]
    run = small_run(folder, 60, searches=["naive", search], metrics=named)

    def own(trials: pd.Series[str]) -> pd.Series[str]:
        return trials.str.slice(0, 28) + f"{int(1000 * size):04}"

    def moved(trials: pd.DataFrame) -> pd.DataFrame:
        shared = (trials["seed"] == 0) & (trials["search"] == "naive")
        seeds = trials["seed"].mask(trials["seed"] > 0, trials["seed"] + int(1000 * size))
        return trials.assign(trial=trials["trial"].where(shared, own(trials["trial"])), seed=seeds, device=device)

    rewrite(run, moved)
    for part in (run / "evaluations").iterdir():
        table = pq.read_table(part)
        renamed = table.to_pandas().assign(trial=lambda rows: own(rows["trial"]))
        pq.write_table(pa.Table.from_pandas(renamed, table.schema, preserve_index=False), part)
    return run


def test_metrics_of_several_runs_are_of_each_by_itself(tmp_path: Path) -> None:
    runs = [
        lambda_run(tmp_path / "a", 0.15, "NVIDIA A100", [{"name": "precision"}, {"name": "recall"}]),
        lambda_run(tmp_path / "b", 0.3, "NVIDIA H100", [{"name": "recall", "k": 5}, {"name": "fid"}]),
    ]
    [analysis] = load(runs, "naive", features=False)
    values = analysis.metrics.values
    assert set(values["curve"]) == set(analysis.looks) == {"naive", "eps_greedy lambda=0.15", "eps_greedy lambda=0.3"}
    assert set(values["missing"]) == {20}  # also of the run whose first problems are those of the other
    assert set(analysis.metrics.done) == {"precision", "recall", f"recall of {runs[1]}", "fid"}
    page = Page(0)
    found = metrics.section(analysis, page)
    titles = [panel["title"] for panel in page.charts[0]["panels"]]
    assert titles == [f"searched on brightness: {run}" for run in runs]
    [table] = [block for block in found.blocks if isinstance(block, Table)]
    assert {row[0].text for row in table.rows} == set(map(str, runs))
    facts = [block for block in environment.section(analysis, page).blocks if isinstance(block, Table)]
    devices = [row[1].text for block in facts for row in block.rows if row[0].text == "devices"]
    assert devices == ["NVIDIA A100", "NVIDIA H100"]


def test_a_search_of_which_one_run_has_a_trace_keeps_its_name(tmp_path: Path) -> None:
    runs = [lambda_run(tmp_path / "a", 0.15, "none", []), lambda_run(tmp_path / "b", 0.3, "none", [])]
    shutil.rmtree(runs[1] / "evaluations")
    [analysis] = load(runs, "naive", features=False)
    assert analysis.gaps is not None
    assert set(analysis.gaps["curve"]) == {"naive", "eps_greedy lambda=0.15"}


def test_p_of_the_largest_budgets_is_corrected_for_all(run: Path) -> None:
    [analysis] = load([run], "naive", features=False)
    tables = [block for block in significance.section(analysis, Page(0)).blocks if isinstance(block, Table)]
    assert [len(table.rows) for table in tables] == [2, len(analysis.compared)]
    assert all("at every budget" in column.help for table in tables for column in table.columns if column.name == "p")
