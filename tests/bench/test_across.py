"""Several models in one report: where curves cross (closed forms), which is best at each cost, what the page says."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from command_line import refused
from report_runs import rewrite, small_run
from synthetic_trials import trial

from bench.report.across_looks import COLOURS, across_looks
from bench.report.html.across import AcrossModels, comparable_models
from bench.report.html.analysis import load
from bench.report.html.blocks import Chart, Sentences
from bench.report.html.page import write_report
from bench.report.html.page_data import Page
from bench.report.models import model_names, steps_of
from bench.report.prices import Prices, parsed_prices
from bench.report.sections import across as section
from bench.statistics import crossovers
from bench.statistics.across import Across, Curve, Sampled, across
from bench.statistics.crossovers import crossing, frontier_crossovers
from bench.statistics.matched import matched_of
from bench.statistics.observations import observations
from tts.errors import SettingError

PROBLEMS = 40
SMALL, LARGE = 1e9, 4e9
"""FLOPs of one forward of each of two models."""


def sampled(name: str, flops: float, steps: int, means: dict[int, float], plain: float, noise: float = 0.0) -> Sampled:
    """A model's trials: naive with a mean, and best-of-N with a mean for each N; both have the same noise."""
    generator = np.random.default_rng([steps, int(flops)])
    rows = []
    for problem in range(PROBLEMS):
        own = noise * generator.standard_normal(len(means) + 1)
        where = {"condition": problem % 10, "seed": problem // 10}
        nfe, seconds = 2 * steps - 1, (2 * steps - 1) * flops / 1e11
        rows.append(trial(value=plain + own[0], nfe=nfe, device_seconds=seconds, **where))
        for k, (N, mean) in enumerate(means.items()):
            settings = {"search": "best_of_n", "settings": {"N": N}, "budget": "N", "budget_value": float(N)}
            cost = {"nfe": N * nfe, "device_seconds": N * seconds}
            rows.append(trial(value=mean + own[k + 1], **settings, **cost, **where))
    family = name.removesuffix(f" {steps} steps")
    return Sampled(name, family, steps, observations(pd.DataFrame(rows), flops), price=3600.0)


def two_models(noise: float = 0.0) -> Across:
    """A small model that is ahead until the steeper curve of a large model overtakes it."""
    return across(
        [
            sampled("small", SMALL, 10, {2: 0.3, 4: 0.4, 8: 0.5, 16: 0.6}, 0.2, noise),
            sampled("large", LARGE, 10, {2: 0.55, 4: 0.8}, 0.3, noise),
        ]
    )


def test_the_best_at_each_cost_is_named_with_its_lead() -> None:
    """The large model's plain samples cost as much as the small model's search with N = 4."""
    [panel] = two_models().panels
    at = [19 * SMALL, 2 * 19 * SMALL, 19 * LARGE, 4 * 19 * LARGE]
    frame = matched_of([panel], at, "flops")
    assert frame["winner"].tolist() == ["small: naive", "small: best_of_n", "small: best_of_n", "large: best_of_n"]
    assert frame["mean"].to_numpy() == pytest.approx([0.2, 0.3, 0.4, 0.8])
    assert frame["lead"].to_numpy()[2:] == pytest.approx([0.4 - 0.3, 0.8 - 0.6])
    assert frame["gain"].to_numpy()[3] == pytest.approx(0.8 - 0.3)  # over the best plain samples of any model


def test_curves_cross_where_their_lines_do() -> None:
    """The small model gains 0.1 a doubling from 0.4 at 76 GFLOP, the large one 0.25 from 0.3: 2/3 doublings later."""
    [panel] = two_models().panels
    frame = frontier_crossovers(panel, "flops")
    last = frame.iloc[-1]
    assert (last["behind"], last["ahead"]) == ("small: best_of_n", "large: best_of_n")
    # the large model's N = 2 has 0.55 at 152 GFLOP, the small model 0.5: the large one is ahead from its first point
    assert last["starts"]
    assert last["at"] == pytest.approx(152e9)
    found = across(
        [
            sampled("small", SMALL, 10, {2: 0.3, 4: 0.4, 8: 0.5, 16: 0.6}, 0.2),
            sampled("large", LARGE, 10, {2: 0.45, 4: 0.8}, 0.3),
        ]
    )
    last = frontier_crossovers(found.panels[0], "flops").iloc[-1]
    share = (0.5 - 0.45) / (0.35 - 0.1)  # of the doubling that begins at 152 GFLOP
    assert not last["starts"]
    assert last["at"] == pytest.approx(152e9 * 2**share)
    assert (last["low"], last["high"], last["share"], last["n"]) == (last["at"], last["at"], 1, PROBLEMS)


@pytest.mark.parametrize("over", ["problems", "conditions"])
def test_the_interval_of_a_crossing_covers_it(over: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """About 19 of 20 noisy studies are covered; with ten conditions, fewer."""
    monkeypatch.setattr(crossovers, "RESAMPLES", 200)
    monkeypatch.setattr(crossovers, "OCTAVE", 1)
    true, covered = 152e9 * 2**0.2, 0
    [panel] = across(
        [
            sampled("small", SMALL, 10, {2: 0.3, 4: 0.4, 8: 0.5, 16: 0.6}, 0.2),
            sampled("large", LARGE, 10, {2: 0.45, 4: 0.8}, 0.3),
        ]
    ).panels
    for seed in range(20):
        noise = 0.05 * np.random.default_rng(seed).standard_normal(panel.values.shape)
        rows = frontier_crossovers(replace(panel, values=panel.values + noise), "flops", over)
        row = rows[(rows["behind"] == "small: best_of_n") & (rows["ahead"] == "large: best_of_n")].iloc[-1]
        covered += row["low"] <= true <= row["high"]
    assert 15 <= covered <= 20


def test_a_crossing_is_between_two_costs_or_there_is_none() -> None:
    costs = np.array([1.0, 2.0, 4.0])
    assert crossing(costs, np.array([-1.0, 1.0, 2.0])) == pytest.approx(2**0.5)
    assert crossing(costs, np.array([-1.0, 0.0, 2.0])) == pytest.approx(2)
    assert crossing(costs, np.array([-3.0, -2.0, -1.0])) == math.inf
    assert crossing(costs, np.array([1.0, 2.0, 1.0])) == 0
    assert crossing(costs, np.array([np.nan, -1.0, 1.0])) == pytest.approx(8**0.5)
    twice = np.array([-1.0, 1.0, -1.0, 1.0])
    assert crossing(np.array([1.0, 2.0, 4.0, 8.0]), twice) == pytest.approx(32**0.5)
    assert crossing(np.array([1.0, 2.0, 4.0, 8.0]), twice, near=1.5) == pytest.approx(2**0.5)


def test_plain_samples_at_several_steps_are_one_curve() -> None:
    """Plain samples at several numbers of steps are one curve with a point for each number."""
    found = across([sampled(f"m {steps} steps", SMALL, steps, {2: 0.3}, steps / 100) for steps in (10, 18, 36)])
    [panel] = found.panels
    points = panel.points[panel.points["curve"] == "m: more steps"]
    assert points["budget_value"].tolist() == [10, 18, 36]
    assert points["flops"].tolist() == [19 * SMALL, 35 * SMALL, 71 * SMALL]
    assert [panel.values[:, place].mean() for place in points.index] == pytest.approx([0.1, 0.18, 0.36])
    assert found.curves["m: more steps"] == Curve("m: more steps", "m", "naive", "more steps")
    assert sorted({curve.own for curve in found.curves.values()}) == ["best_of_n", "more steps"]
    assert frontier_crossovers(panel, "flops")["ahead"].tolist() == [
        "m 10 steps: best_of_n",
        "m: more steps",
    ]


def test_money_is_time_by_price() -> None:
    """A price of 3600 an hour is 1 a second; without a price there is no axis of money."""
    points = two_models().points()
    assert points["money"].to_numpy() == pytest.approx(points["device_seconds"].to_numpy())
    bare = across([Sampled("a", "a", 10, sampled("a", SMALL, 10, {2: 0.3}, 0.2).observed)])
    assert bare.panels[0].points["money"].isna().all()
    devices = pd.Series(["A", "B", None])
    assert parsed_prices(["2", "A=3", "B=3"]).of(devices) == 3
    assert math.isnan(parsed_prices(["2", "A=3"]).of(devices))
    assert parsed_prices(["2", "A=3"]).of(pd.Series(["C"])) == 2
    for wrong in ("dear", "A=", "-1", "nan", "A=inf"):
        with pytest.raises(SettingError, match="--price"):
            parsed_prices([wrong])


def manifest(steps: int, weights: str | None = None, digest: str = "a" * 64) -> dict[str, Any]:
    given: dict[str, Any] = {"name": "cifar10", "sampler": {"steps": steps}}
    model = {"name": "cifar10", "sampler": {"steps": steps, "rho": 7.0}, "weights": digest}
    return {"config": {"model": {**given, **({"weights": weights} if weights else {})}}, "resolved": {"model": model}}


def test_models_are_named_by_what_tells_them_apart() -> None:
    found = [manifest(10), manifest(18), manifest(18, "runs/large.safetensors", "b" * 64), manifest(18, None, "c" * 64)]
    assert model_names(found) == [
        ("cifar10 10 steps aaaaaa", "cifar10 aaaaaa"),
        ("cifar10 18 steps aaaaaa", "cifar10 aaaaaa"),
        ("cifar10 18 steps large", "cifar10 large"),
        ("cifar10 18 steps cccccc", "cifar10 cccccc"),
    ]
    assert model_names(found[:3]) == [  # all runs have the same weights, which need no name
        ("cifar10 10 steps", "cifar10"),
        ("cifar10 18 steps", "cifar10"),
        ("cifar10 18 steps large", "cifar10 large"),
    ]
    assert model_names(found[:2]) == [("cifar10 10 steps", "cifar10"), ("cifar10 18 steps", "cifar10")]
    sizes = [
        {"resolved": {"model": {"name": "x", "size": size}}, "config": {"model": {"size": size}}}
        for size in ([8, 8], [8])
    ]
    assert [name for name, _ in model_names(sizes)] == ["x size=[8, 8]", "x size=[8]"]
    seeds = [manifest(18, f"{seed}/net.safetensors", seed * 64) for seed in "abb"]
    assert [name for name, _ in model_names(seeds)] == [f"cifar10 net {seed * 6}" for seed in "abb"]
    assert model_names(found[:1]) == [("cifar10", "cifar10")]
    assert [steps_of(each) for each in found[:2]] == [10, 18]
    assert steps_of({"resolved": {"model": {"name": "x"}}}) is None


def test_many_models_have_looks_of_their_own() -> None:
    curves = {f"{k}: naive": Curve(f"{k}: naive", f"{k:02}", "naive", "naive") for k in range(len(COLOURS) + 1)}
    looks = across_looks(curves)
    assert len({(look.colour, look.line) for look in looks.values()}) == len(looks)
    assert len({look.name for look in looks.values()}) == len(looks)


# The report


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The same study at 6 and at 12 steps."""
    folder = tmp_path_factory.mktemp("across")
    changes = [{"model": {"name": "cifar10", "sampler": {"name": "heun", "steps": steps}}} for steps in (6, 12)]
    found = [small_run(folder / f"steps-{k}", trials=50, **change) for k, change in enumerate(changes)]
    for run, flops in zip(found, (1e9, 1e9), strict=True):
        file = run / "manifest.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "flops": flops}))
    return found


@pytest.mark.slow
def test_runs_of_two_models_are_drawn_together(
    runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.report.html.page.files", lambda analysis: iter(()))  # the files of each model's own page
    write_report(runs, str(tmp_path), features=False, prices=Prices(3.0))
    page = (tmp_path / "report.html").read_text()
    assert '<section id="across"' in page
    assert "Compute-optimal for brightness" in page
    assert "TFLOP an image: cifar10 " in page
    assert "more steps, no search" in page
    assert "money per 1,000 images" in page
    folder = tmp_path / "report" / "across"
    assert {file.name for file in folder.iterdir()} == {
        "across.csv", "across.png", "across.svg", "crossovers.csv", "frontier.csv",
    }  # fmt: skip
    frontier = pd.read_csv(folder / "frontier.csv")
    assert {"flops", "device_seconds", "money"} == set(frontier["axis"])
    assert {"searched", "brightness", "compressibility"} == set(frontier["scored_on"])
    points = pd.read_csv(folder / "across.csv")
    assert {"cifar10 6 steps", "cifar10 12 steps", "cifar10"} == set(points["model"])
    assert points["low"].notna().all()


def test_without_a_price_there_is_no_money_and_why(runs: list[Path]) -> None:
    analyses = load(runs, "naive", features=False)
    [models] = [AcrossModels(group, Prices()) for group in comparable_models(analyses)]
    assert [axis.column for axis in models.axes] == ["flops", "device_seconds"]
    assert comparable_models(analyses[:1]) == []
    refused("--price dear: expected a number", "report", *runs, "--price", "dear")


def test_of_a_model_with_several_numerics_the_first_is_compared(runs: list[Path], tmp_path: Path) -> None:
    again = Path(shutil.copytree(runs[0], tmp_path / "again"))
    manifest = json.loads((again / "manifest.json").read_text())
    manifest["resolved"]["numerics"]["batch"] = 1
    (again / "manifest.json").write_text(json.dumps(manifest))
    analyses = load([*runs, again], "naive", features=False)
    assert len(analyses) == 3  # sections of their own
    [group] = comparable_models(analyses)
    assert group == analyses[:2]
    assert set(AcrossModels(group, Prices()).points) == {"searched", "brightness", "compressibility"}
    assert comparable_models([analyses[0], analyses[2]]) == []


def test_classes_of_other_names_are_other_problems(runs: list[Path], tmp_path: Path) -> None:
    """Class 3 is a cat here and a shark there; an index is no name."""
    other = Path(shutil.copytree(runs[1], tmp_path / "other"))
    for label, number in (("tiger shark", 0), ("3", 1)):
        rewrite(
            other,
            lambda trials, label=label: trials.assign(label=trials["label"].mask(trials["condition"] == "3", label)),
        )
        assert len(comparable_models(load([runs[0], other], "naive", features=False))) == number


def test_a_lead_below_zero_is_no_lead(runs: list[Path]) -> None:
    models = AcrossModels(load(runs, "naive", features=False), Prices())
    models.__dict__["frontier"] = models.frontier.assign(lead=-0.2, lead_low=-0.3, lead_high=-0.1)
    [sentences] = [b for b in section.part(models, 0, Page(0)).sections[0].blocks if isinstance(b, Sentences)]
    [(_, said)] = sentences.sentences
    assert "but on the same problems it differs from cifar10" in said
    assert "more than" not in said


def test_models_of_which_nothing_could_be_scored_have_no_picture(runs: list[Path], tmp_path: Path) -> None:
    copies = [Path(shutil.copytree(run, tmp_path / run.name)) for run in runs]
    for run in copies:
        rewrite(run, lambda trials: trials.assign(value=None, samples=None))
    models = AcrossModels(load(copies, "naive", features=False), Prices())
    assert all(name.endswith(".csv") for name, _ in section.files(models))
    chart = section.part(models, 0, Page(0)).sections[0].blocks[0]
    assert isinstance(chart, Chart)
    assert chart.files == ["across.csv"]
