"""Metrics of sets: features, which engines compute once for each final image, and values computed from them."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from command_line import bench, refused
from driver_processes import DriverProcess, kill_after_progress, table, write
from report_runs import small_run
from stored_runs import rows, stored

from bench.report.html.analysis import load
from bench.report.html.page import render
from bench.run.replay import stored_study
from bench.statistics import set_metrics as module
from bench.statistics.set_metrics import COLUMNS, set_metrics
from bench.store import features
from bench.store import reader as store
from bench.store.images import decoded
from bench.store.row import TrialRow
from bench.store.writer import Store
from bench.study.config import RunConfig
from bench.study.study import Study
from tts.errors import EngineError, SettingError
from tts.metrics.base import MetricSettings
from tts.metrics.frechet_judge import FrechetJudge
from tts.registry import METRICS
from tts.training.frechet import frechet_distance, moments

Make = Callable[..., RunConfig]

OWN = {"name": "own_metrics:ColourSpread", "as": "colours"}
SEARCHES = ["naive", {"name": "random", "budget": {"N": [2, 3]}}]


@pytest.fixture(autouse=True)
def own_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let drivers in other processes find the user's code."""
    tests = str(Path(__file__).parents[1])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([tests, os.environ.get("PYTHONPATH", "")]))


def study_of(tiny: Make, output: str, **changes: Any) -> RunConfig:
    """Ten problems, three points, two metrics."""
    given = {"metrics": ["frechet_judge", OWN], "searches": SEARCHES, "rewards": ["brightness"]}
    problems = {"conditions": "all", "seeds": 1}
    return tiny(output=output, **{**given, "problems": problems, **changes})


def stored_features(folder: Path, metric: MetricSettings) -> dict[str, Any]:
    """All stored rows of an extractor, by trial; fails if one is stored twice."""
    digits = features.part_of("", metric.extractor)
    tables = [pq.read_table(path) for path in (folder / "features").glob(f"*{digits}")]
    found = [(row["trial"], tuple(row["features"])) for each in tables for row in each.to_pylist()]
    assert max(Counter(trial for trial, _ in found).values()) == 1
    return dict(found)


@pytest.mark.slow
def test_a_run_that_is_killed_and_resumed_has_the_features_of_every_image_once(tiny: Make, tmp_path: Path) -> None:
    """Here searches run beside the engine, as on a cluster; tests below run them in the driver."""
    problems = {"conditions": "all", "seeds": 2}
    killed = study_of(tiny, "killed", flush_seconds=0.0, engines={"search_on": "engine"}, problems=problems)
    path, moments_ = write(killed, tmp_path / "killed.yaml"), random.Random(0)
    assert all(kill_after_progress(DriverProcess(path), killed.output, moments_.uniform(0.0, 0.05)) for _ in range(2))
    assert 0 < len(store.done(killed.output)) < 60
    orphan = killed.output / "features" / features.part_of("part-gone-00000.parquet", "mean colour")
    orphan.write_bytes(b"written before its trials, which never were")
    result = bench("run", path)
    assert result.code == 0, result.err
    assert not orphan.exists()
    trials = {row["trial"]: row for row in table(killed.output)}
    assert len(trials) == 60
    study = stored_study(killed.output, trust=True)
    for metric in study.metrics.values():
        found, look = stored_features(killed.output, metric), metric.load()
        assert found.keys() == trials.keys()
        images = torch.stack(
            [torch.from_numpy(decoded(row["image"]).transpose(2, 0, 1).copy()) for row in trials.values()]
        )
        expected = look.features(images).numpy().astype(metric.dtype)
        assert np.array([found[trial] for trial in trials]).astype(metric.dtype) == pytest.approx(expected, rel=1e-5)
    values = pd.read_parquet(killed.output / "metrics.parquet")
    assert list(values.columns) == COLUMNS
    assert (len(values), set(values["n"]), set(values["missing"])) == (6, {20}, {0})
    assert set(values.loc[values["metric"] == "frechet_judge", "warning"]) == {
        "20 images are too few: this metric asks for 384"
    }
    assert values.loc[values["metric"] == "colours", "warning"].isna().all()
    assert "frechet_judge: 3 of its values come with a warning" in result.words
    bench("curves", killed.output)
    assert "no metrics: " in bench("curves", killed.output).words  # a folder is data
    assert bench("curves", "--trust", killed.output).code == 0


def metrics_of_page(run: Path, *options: str) -> str:
    """The section of metrics on a run's page."""
    assert bench("report", run, "--no-features", *options).code == 0
    page = (run / "report.html").read_text()
    start = page.index('id="metrics"')
    return page[start : page.index("<section", start)]


@pytest.mark.slow
def test_features_change_neither_rows_nor_identities(tiny: Make, tmp_path: Path) -> None:
    problems = {"conditions": [0, 1, 2], "seeds": 1}
    plain = study_of(tiny, "plain", metrics=[], problems=problems)
    with_metrics = study_of(tiny, "with", problems=problems)
    for config in (plain, with_metrics):
        assert bench("run", write(config, tmp_path / f"{config.output.name}.yaml")).code == 0
    assert table(plain.output) == table(with_metrics.output)
    assert "frechet_judge" in metrics_of_page(with_metrics.output, "--trust")
    assert "names code, a file or an address" in metrics_of_page(with_metrics.output)
    assert "No run computes metrics (setting metrics)." in metrics_of_page(plain.output)
    assert not (plain.output / "features").exists()
    assert not (plain.output / "metrics.parquet").exists()
    refused("belongs to another configuration", "run", tmp_path / "with.yaml", "--set", "metrics=[frechet_judge]")


def test_metrics_are_part_of_a_run_and_no_part_of_its_trials(tiny: Make) -> None:
    plain, one, two = (Study(tiny(metrics=given)) for given in ([], ["frechet_judge"], ["frechet_judge", OWN]))
    assert len({study.digest() for study in (plain, one, two)}) == 3
    assert "metrics" not in plain.resolved()
    assert plain.context == one.context == two.context
    assert two.resolved()["metrics"]["colours"]["code"]["target"] == "own_metrics:ColourSpread"


def test_mistakes_name_the_setting(tiny: Make) -> None:
    with pytest.raises(SettingError, match="unknown metric 'frechet_juge'; did you mean 'frechet_judge'"):
        Study(tiny(metrics=["frechet_juge"]))
    with pytest.raises(SettingError, match="metrics: frechet_judge is named twice"):
        Study(tiny(metrics=["frechet_judge", "frechet_judge"]))
    with pytest.raises(SettingError, match="frechet_judge: its judge knows CIFAR-10's images, not this model's"):
        FrechetJudge().suits(_Other())  # type: ignore[arg-type]
    assert bench("list", "metrics").words.count("frechet_judge") == 1


class _Other:
    def conditions(self) -> list[int]:
        return []


def written(folder: Path, vectors: dict[str, Any], **settings: Any) -> Store:
    """A store with the made-up trials, and features for some."""
    made = Store(folder, ["brightness", "compressibility"], **{"flush_rows": 7, **settings})
    made.open("d", {"digest": "d", "config": {}, "devices": []})
    for row in rows(2):
        given = {"a": vectors[row["trial"]]} if row["trial"] in vectors else {}
        made.add(TrialRow(**{**TrialRow.of_record(row).__dict__, "features": given}))
    return made


@pytest.mark.slow
def test_values_are_of_the_points_images_whatever_is_held_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = pd.DataFrame(rows(2))
    own = np.random.default_rng(0)
    vectors = {trial: own.normal(size=3).astype(np.float32) for trial in trials["trial"]}
    lost, null = list(vectors)[:2]
    del vectors[lost]
    vectors[null] = None  # type: ignore[assignment]
    written(tmp_path / "run", vectors).close()
    whole = set_metrics(tmp_path / "run", trials, {"mean": _Mean()})
    for point in whole.to_dict("records"):
        mine = trials[(trials["settings"] == point["settings"]) & (trials["search"] == point["search"])]
        mine = mine[mine["reward"] == point["reward"]]
        found = [vectors[trial] for trial in mine["trial"] if vectors.get(trial) is not None]
        assert (point["n"], point["missing"]) == (len(found), len(mine) - len(found))
        assert point["value"] == pytest.approx(np.mean(found) if found else np.nan, nan_ok=True)
    assert whole["missing"].sum() == 2
    monkeypatch.setattr(module, "HELD_BYTES", 1)
    pd.testing.assert_frame_equal(set_metrics(tmp_path / "run", trials, {"mean": _Mean()}), whole)


class _Mean(MetricSettings):
    @property
    def extractor(self) -> str:
        return "a"

    def load(self, device: str = "cpu") -> Any:
        raise AssertionError("a value needs no network")

    def aggregate(self, features: Any, reference: Any) -> Any:
        from tts.metrics.base import MetricValue

        return MetricValue(float(features.mean()))


def test_a_part_without_its_trials_counts_for_nothing_and_another_shards_stays(tmp_path: Path) -> None:
    vectors = {row["trial"]: np.ones(2, np.float32) for row in rows(2)}
    first = written(tmp_path, vectors)
    first.close()
    whole = sum(len(trials) for trials, _ in features.read(tmp_path, "a"))
    assert whole == len(vectors)
    gone = store.parts(store.place(tmp_path))[0]
    (tmp_path / "trials" / gone).unlink()  # as if the driver had died before it wrote the trials
    assert sum(len(trials) for trials, _ in features.read(tmp_path, "a")) < whole
    orphan = tmp_path / "features" / features.part_of(gone, "a")
    shard = Store(tmp_path, ["brightness", "compressibility"], shard=(0, 2))
    shard.open("d", {})
    shard.close()
    assert orphan.exists()  # another driver may be about to write its trials
    again = Store(tmp_path, ["brightness", "compressibility"])
    again.open("d", {})
    again.close()
    assert not orphan.exists()


def test_features_too_large_for_their_type_are_null() -> None:
    vectors = {"fits": np.array([6e4, 1], np.float32), "too large": np.array([7e4, 1], np.float32), "none": None}
    found = features.table("seen", vectors, "float16")["features"].to_pylist()
    assert found == [[6e4, 1], None, None]


def test_the_judges_distance_is_that_of_its_moments() -> None:
    metric = FrechetJudge()
    own = np.random.default_rng(0)
    reference = metric.reference()
    vectors = (reference.mean + own.normal(size=(60, 192))).astype(np.float32)
    found = metric.aggregate(vectors, reference)
    assert found.value == frechet_distance(moments(vectors), reference)
    assert found.low < found.value < found.high
    assert np.isnan(metric.aggregate(vectors[:1], reference).value)
    assert METRICS.make("frechet_judge")[1] == metric


def test_a_metric_that_looks_at_its_neighbours_ends_the_run_before_it_begins(tiny: Make) -> None:
    from bench.workers.building import build_engine

    config = study_of(tiny, "run", metrics=[{"name": "metric_faults:Neighbours"}])
    with pytest.raises(EngineError, match="metric neighbours lets an image's value depend on the images beside it"):
        build_engine(Study(config))
    config = study_of(tiny, "run", metrics=[{"name": "metric_faults:Flat"}])
    with pytest.raises(EngineError, match=r"metric flat: features of 8 images must be \[B, F\] float32, and are"):
        build_engine(Study(config))


def test_a_hostile_manifest_names_no_code(tmp_path: Path) -> None:
    folder = stored(tmp_path / "run", rows(2))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["config"]["metrics"] = [{"name": "subprocess:getoutput", "cmd": "touch ran"}]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    result = bench("curves", folder)
    assert "no metrics: " in result.words
    assert "names code, a file or an address (metrics.name = 'subprocess:getoutput')" in result.words
    assert not (folder / "metrics.parquet").exists()


def test_the_metrics_of_an_exported_run_are_kept(tmp_path: Path) -> None:
    """It has no features, from which they could be computed again."""
    run, extractor = small_run(tmp_path / "run", 50, metrics=["frechet_judge"]), FrechetJudge().extractor
    for part in (run / "trials").iterdir():
        trials = pq.read_table(part)["trial"].to_pylist()
        found = features.table(extractor, {trial: np.ones(192, np.float32) for trial in trials})
        target = run / "features" / features.part_of(part.name, extractor)
        target.parent.mkdir(exist_ok=True)
        pq.write_table(found, target)
    once, twice = tmp_path / "once", tmp_path / "twice"
    assert bench("export", run, "--to", once).code == 0
    content = (once / "metrics.parquet").read_bytes()
    assert pd.read_parquet(once / "metrics.parquet")["value"].notna().all()
    assert "metrics.parquet is kept as it is" in bench("curves", once).words
    assert bench("export", once, "--to", twice).code == 0
    assert [(each / "metrics.parquet").read_bytes() for each in (once, twice)] == [content] * 2
    assert "metrics.parquet is kept as it is" in render(load([once], "naive", features=False))
