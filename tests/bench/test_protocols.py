"""Quoted metrics: which images are drawn, EDM's least of three, notes, quality and diversity."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.benchmarks.reporting import make
from bench.report.done import images_drawn
from bench.report.html.analysis import load
from bench.report.html.page_data import Page
from bench.report.metrics import SetMetrics, stored_protocol
from bench.report.quality import quality_table
from bench.report.sections import metrics as section
from bench.statistics.quoting import OfSet, quoted, sets_of
from bench.store import manifest
from bench.study.config import RunConfig
from bench.study.protocol import Problems, Protocol
from bench.study.study import Study
from tts.errors import SettingError
from tts.metrics.base import MetricValue
from tts.registry import METRICS
from tts.settings import parse


def config(**changes: Any) -> RunConfig:
    values = {
        "model": "cifar10",
        "rewards": ["brightness"],
        "searches": ["naive"],
        "engines": {"backend": "local", "simulate": 0.0},
        "output": "run",
        **changes,
    }
    return parse(RunConfig, values, "here")


def test_random_classes_are_alike_likely_and_each_problem_has_a_seed() -> None:
    study = Study(config(problems={"random": 3000}))
    problems = [(trial.condition, trial.seed) for trial in study.trials()]
    assert [seed for _, seed in problems] == list(range(3000))
    counts = Counter(condition for condition, _ in problems)
    assert set(counts) == set(range(10))
    assert 230 < min(counts.values()) < max(counts.values()) < 370
    assert (study.problems, study.size, study.resolved()["random"]) == (3000, 3000, 3000)
    again = Study(config(problems={"random": 3000}))
    assert [trial.condition for trial in again.trials()] == [condition for condition, _ in problems]
    other = Study(config(problems={"random": 3000}, seed=1))
    assert [trial.condition for trial in other.trials()] != [condition for condition, _ in problems]


def test_shards_share_random_problems() -> None:
    shards = [Study(config(problems={"random": 50}, shard=f"{k}/3")) for k in range(3)]
    seeds = sorted(trial.seed for study in shards for trial in study.shard_trials())
    assert seeds == list(range(50))


def test_other_problems_are_as_they_were() -> None:
    study = Study(config(problems={"seeds": 2}))
    assert [(trial.condition, trial.seed) for trial in study.trials()][:11] == [*((k, 0) for k in range(10)), (0, 1)]
    assert "random" not in study.resolved()


def test_settings_that_contradict_are_refused() -> None:
    with pytest.raises(SettingError, match="seeds and random go not together"):
        config(problems={"seeds": 2, "random": 10})
    with pytest.raises(SettingError, match="3 sets need as many seeds"):
        config(problems={"seeds": 2}, protocol={"repeats": 3})


def test_sets_are_of_seeds_that_follow_one_another() -> None:
    """150 images a class are three sets of 50; with random classes, the sets are EDM's seeds 0 to 49,999 and so on."""
    three = Protocol(repeats=3)
    assert [three.set_of(seed, Problems(seeds=150)) for seed in (0, 49, 50, 99, 100, 149)] == [0, 0, 1, 1, 2, 2]
    ends = (0, 49_999, 50_000, 99_999, 100_000, 149_999)
    assert [three.set_of(seed, Problems(random=150_000)) for seed in ends] == [0, 0, 1, 1, 2, 2]
    trials = pd.DataFrame({"trial": list("fedcba"), "seed": [0, 1, 2, 3, 4, 5]})
    assert sets_of(trials, three, Problems(seeds=6)) == [["e", "f"], ["c", "d"], ["a", "b"]]
    assert sets_of(trials, Protocol(), Problems(seeds=6)) == [list("abcdef")]


def test_the_least_or_the_mean_is_quoted() -> None:
    found = [OfSet(MetricValue(value, value - 1, value + 1), 50, 0) for value in (3.0, 2.0, 4.0)]
    least = quoted(found, "min")
    assert (least["value"], least["low"], least["high"], least["repeats"]) == (2.0, 1.0, 3.0, "[3.0, 2.0, 4.0]")
    mean = quoted(found, "mean")
    assert mean["value"] == pytest.approx(3)
    assert mean["high"] - 3 == pytest.approx(4.302652729749464 / math.sqrt(3))  # Student's t with 2 degrees of freedom
    lacking = quoted([*found[:2], OfSet(MetricValue(math.nan), 0, 50)], "min")
    assert math.isnan(lacking["value"])
    assert (lacking["n"], lacking["missing"], json.loads(lacking["repeats"])) == (0, 50, [3.0, 2.0, None])
    assert quoted(found[:1], "min") == {**found[0].value._asdict(), "n": 50, "missing": 0, "repeats": None}


def test_what_was_done_is_said(tmp_path: Path) -> None:
    study = Study(config(problems={"random": 150}, protocol={"repeats": 3}, output=str(tmp_path / "run")))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "manifest.json").write_text(json.dumps(manifest.build(study, ["none"])))
    said = images_drawn(tmp_path / "run")
    assert "150 images a point of 10 conditions drawn at random, generation seeds 0 to 149 of seed 0" in said
    assert "sampled by cifar10 with steps = 18" in said
    assert "divided by their seeds into 3 sets, of which the least value is quoted" in said
    assert stored_protocol(tmp_path / "run") == (Protocol(repeats=3), Problems(random=150))


def test_metrics_tell_of_quality_or_of_diversity() -> None:
    kinds = {
        name: METRICS.make({"name": name, "features": "judge"})[1].tells for name in ("precision", "recall", "fid")
    }
    assert kinds == {"precision": "quality", "recall": "diversity", "fid": "both"}


def values_of(metrics: dict[str, list[float]]) -> pd.DataFrame:
    """Values of metrics for naive and for best-of-N with N = 2 and 4."""
    points: list[dict[str, Any]] = [
        {"search": "naive", "curve": "naive", "settings": "{}", "budget": None, "budget_value": None},
        *(
            {"search": "best_of_n", "curve": "best_of_n", "settings": f'{{"N": {N}}}', "budget": "N", "budget_value": N}
            for N in (2, 4)
        ),
    ]
    frame = pd.DataFrame(
        {**point, "metric": name, "reward": "brightness", "n": 50, "value": value, "low": value - 1, "high": np.nan}
        for name, values in metrics.items()
        for point, value in zip(points, values, strict=True)
    )
    return frame.assign(missing=0, repeats=None, warning=None, run="run")


def test_quality_against_diversity_is_a_point_a_search_and_budget() -> None:
    values = values_of({"fid": [9, 8, 7], "precision": [0.1, 0.2, 0.3], "recall": [0.6, 0.5, 0.4]})
    table = quality_table(values, {"fid": "both", "precision": "quality", "recall": "diversity"})
    assert table is not None
    assert (table.quality, table.diversity) == (["precision", "fid"], ["recall"])
    by_name = table.points.set_index(["curve", "budget_value"])
    assert by_name.loc[("best_of_n", 4.0), ["precision", "fid", "recall"]].tolist() == [0.3, 7, 0.4]
    assert by_name.loc[("best_of_n", 4.0), "recall low"] == pytest.approx(-0.6)
    assert len(table.points) == 3
    assert quality_table(values, {"fid": "both", "precision": "quality"}) is None
    assert quality_table(pd.DataFrame(), {}) is None


def test_the_report_draws_quality_against_diversity(tmp_path: Path) -> None:
    searches = ["naive", {"name": "best_of_n", "budget": {"N": [2, 4]}}]
    study = Study(config(searches=searches, output=str(tmp_path / "run")))
    make(study, side=8)
    [analysis] = load([tmp_path / "run"], "naive", features=False)
    values = values_of({"fid": [9, 8, 7], "recall": [0.6, 0.5, 0.4]})
    done = {"fid": "features of x", "recall": "features of x"}
    kinds = {"fid": "both", "recall": "diversity"}
    analysis.__dict__["metrics"] = SetMetrics(values, [], done, ["30 images a point"], kinds)
    page = Page(0)
    found = section.section(analysis, page)
    assert [block.kind for block in found.blocks] == ["chart", "table", "list"]
    [panel] = page.charts[0]["panels"]
    assert [point["x"]["recall"] for point in panel["points"]] == [0.5, 0.4, 0.6]
    assert [point["y"]["fid"]["m"] for point in panel["points"]] == [8, 7, 9]
    assert ("Images", "30 images a point.") in found.blocks[2].sentences
    names = [name for name, _ in section.files(analysis)]
    assert names == ["metrics.csv", "quality-brightness.png", "quality-brightness.svg"]
