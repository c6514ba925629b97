"""Published protocols: what they fix, which one a run follows, and numbers computed as they demand."""

from __future__ import annotations

import math
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from bench.report.protocol_table import lines, listing
from bench.report.protocols import stated
from bench.statistics.protocol_numbers import ALL, protocol_numbers
from bench.study import prompt_places
from bench.study.conditions import resolve
from bench.study.config import RunConfig
from bench.study.following import following
from bench.study.published import PROTOCOLS, prompts_digest
from tts.errors import SettingError
from tts.models.stable_diffusion import StableDiffusion
from tts.registry import REWARDS
from tts.settings import canonical, parse

TAGS = ("counting", "counting", "counting", "colors", "colors", "position")
PROMPTS = [f"a photo of {k} dogs" for k in range(6)]


@pytest.fixture
def six(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that GenEval has six prompts."""
    small = replace(PROTOCOLS["geneval"], prompts=6, digests=(prompts_digest(PROMPTS),))
    monkeypatch.setitem(PROTOCOLS, "geneval", small)


def rewards(*given: Any) -> dict[str, Any]:
    made = [REWARDS.make(each) for each in given]
    return dict(made)


def statement(
    prompts: list[Any] = PROMPTS,
    seeds: int = 4,
    random: int | None = None,
    given: Any = "geneval",
    tags: dict[str, str] | None = None,
) -> str:
    groups = dict(zip(PROMPTS, TAGS, strict=True)) if tags is None else tags
    return following("geneval", prompts, groups, seeds, random, rewards(given)).statement


@pytest.mark.usefixtures("six")
def test_a_run_is_a_protocol_or_says_what_differs() -> None:
    assert statement() == "GenEval"
    assert statement(PROMPTS[::-1]) == "GenEval"  # the order does not matter
    assert statement(seeds=2) == "GenEval, but 2 images a prompt"
    assert statement(seeds=1) == "GenEval, but 1 image a prompt"
    assert statement(PROMPTS[:3]) == "GenEval, but 3 prompts in place of 6"
    other = [*PROMPTS[:5], "a photo of an elephant"]
    assert statement(other, tags=dict.fromkeys(other, "colors")) == "GenEval, but other prompts than the published ones"
    assert statement(random=50) == "GenEval, but 50 images of prompts drawn at random"
    assert statement(given="clip") == "GenEval, but not scored by geneval"
    graded = {"name": "geneval", "value": "graded"}
    assert statement(seeds=2, given=graded) == "GenEval, but 2 images a prompt; geneval with value = graded"
    assert statement(tags={}) == "GenEval, but its groups are not known (no column 'tag')"


def test_the_places_of_each_groups_prompts_are_kept() -> None:
    groups = {"a": "color_val", "b": "shape_val", "c": "color_val"}
    found = following("t2i-compbench", ["a", "b", "c"], groups, 10, None, {})
    assert found.groups == {"color": [0, 2], "shape": [1]}
    assert found.differences[:2] == ("3 prompts in place of 1,800", "not scored by blip_vqa")


def test_a_digest_is_of_the_prompts_whatever_the_files_form() -> None:
    assert prompts_digest(["b ", "a", "b"]) == prompts_digest(["a", "b"])
    assert prompts_digest(["a", "c"]) != prompts_digest(["a", "b"])


@pytest.mark.parametrize("name", PROTOCOLS)
def test_protocols_are_listed_and_told(name: str) -> None:
    found, told = PROTOCOLS[name], list(lines(name))
    assert f"images a prompt: {found.images}, seeds 0 to {found.images - 1}" in told
    assert sum(line.startswith("to be said: ") for line in told) == len(found.said) > 0
    shown = Console(width=200, record=True, file=StringIO())
    shown.print(listing())
    assert name in shown.export_text()
    assert all(len(digest) == 64 for digest in found.digests)


def test_a_name_fills_in_what_the_protocol_fixes() -> None:
    values: dict[str, Any] = {"model": "cifar10", "rewards": ["brightness"], "searches": ["naive"], "output": "run"}
    filled = parse(RunConfig, {**values, "protocol": "geneval"}, "here")
    assert (filled.protocol.name, filled.problems.seeds) == ("geneval", 4)
    assert filled.problems.conditions == {"file": PROTOCOLS["geneval"].address}
    told = parse(RunConfig, {**values, "protocol": "geneval", "problems": {"seeds": 2, "conditions": ["a"]}}, "here")
    assert (told.problems.seeds, told.problems.conditions) == (2, ["a"])
    both = parse(RunConfig, {**values, "protocol": {"name": "hpdv2", "quote": "mean"}}, "here")
    assert (both.protocol.quote, both.problems.conditions) == ("mean", "all")
    with pytest.raises(SettingError, match="protocol genevel: unknown; did you mean 'geneval'"):
        parse(RunConfig, {**values, "protocol": "genevel"}, "here")


def test_a_folder_of_files_is_one_list_with_their_names(tmp_path: Path) -> None:
    (tmp_path / "color_val.txt").write_text("a red bus\na blue cow\n")
    (tmp_path / "shape_val.txt").write_text("a round table\n")
    (tmp_path / "anime.json").write_text('["a cat"]')
    (tmp_path / "notes.md").write_text("none of these")
    given: dict[str, Any] = {"file": str(tmp_path)}
    assert resolve(given, StableDiffusion()) == ["a cat", "a red bus", "a blue cow", "a round table"]
    chosen = {**given, "where": {"file": ["color_val", "shape_val"]}}
    assert resolve(chosen, StableDiffusion()) == ["a red bus", "a blue cow", "a round table"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(OSError, match="the folder has no file of prompts"):
        resolve({"file": str(tmp_path / "empty")}, StableDiffusion())


def test_prompts_come_from_a_data_set_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "anime.json").write_text('["a cat"]')
    monkeypatch.setattr(prompt_places, "dataset_file", lambda id, name, setting: tmp_path / name)
    assert resolve({"file": "hf://datasets/zhwang/HPDv2/anime.json"}, StableDiffusion()) == ["a cat"]
    with pytest.raises(SettingError, match="expected hf://datasets/OWNER/NAME/FILE"):
        resolve({"file": "hf://datasets/zhwang"}, StableDiffusion())


# Numbers


def trials(values: dict[str, list[float | None]], **columns: list[float | None]) -> pd.DataFrame:
    """Trials of naive and best-of-2, one for each image of each prompt; best-of-2's values are higher by 0.1."""
    rows = [
        {"condition": canonical(prompt), "seed": seed, "score_geneval": value, "nfe": 18.0}
        for prompt, images in values.items()
        for seed, value in enumerate(images)
    ]
    frame = pd.DataFrame(rows).assign(**{f"score_{name}": column for name, column in columns.items()})
    frame = frame.assign(reward="geneval", settings="{}", budget=None, budget_value=math.nan, search="naive")
    more = frame.assign(search="best_of_n", settings='{"N":2}', budget="N", budget_value=2.0, nfe=36.0)
    more["score_geneval"] += 0.1
    return pd.concat([frame, more], ignore_index=True)


IMAGES: dict[str, list[float | None]] = {
    "a": [1, 0, 1, 1],
    "b": [0, 0, 0, 1],
    "c": [1, 1, 1, 1],
    "d": [0, 0, None, 0],
}
GROUPS = {canonical(prompt): group for prompt, group in zip("abcd", ("one", "one", "one", "two"), strict=True)}


def numbers(number: Any = "groups", scorers: dict[str, str] | None = None, scale: float = 1.0) -> pd.DataFrame:
    found = protocol_numbers(trials(IMAGES), GROUPS, scorers or {"": "geneval"}, number, scale)
    return found[found["search"] == "naive"].set_index("group")


def test_genevals_number_is_the_mean_of_tasks_not_of_images() -> None:
    found = numbers()
    assert found.loc["one", "value"] == pytest.approx(8 / 12)
    assert found.loc["two", "value"] == 0
    assert found.loc[ALL, "value"] == pytest.approx((8 / 12 + 0) / 2)
    assert found.loc[ALL, "value"] != pytest.approx(8 / 15)
    assert (found.loc[ALL, "n"], found.loc[ALL, "unscored"], found.loc[ALL, "prompts"]) == (15, 1, 4)


def test_intervals_are_of_the_spread_of_prompts_with_groups_as_strata() -> None:
    found, means = numbers(), np.array([0.75, 0.25, 1.0])
    error = means.std(ddof=1) / math.sqrt(3)
    assert found.loc["one", "high"] - found.loc["one", "value"] == pytest.approx(1.96 * error, rel=1e-4)
    assert math.isnan(found.loc["two", "low"])  # a single prompt has no spread
    balanced = {**GROUPS, canonical("b"): "two"}
    whole = protocol_numbers(trials(IMAGES), balanced, {"": "geneval"}, "groups").set_index(["search", "group"])
    errors = [np.array(pair).std(ddof=1) / math.sqrt(2) for pair in ([0.75, 1.0], [0.25, 0.0])]
    expected = 1.96 * math.sqrt(sum(error**2 for error in errors)) / 2
    row = whole.loc[("naive", ALL)]
    assert row["value"] - row["low"] == pytest.approx(expected, rel=1e-4)


def test_dpgs_number_is_the_mean_of_prompts_in_percent() -> None:
    found = numbers("prompts", scale=100.0)
    assert found.loc[ALL, "value"] == pytest.approx(100 * (0.75 + 0.25 + 1 + 0) / 4)


def test_compbench_has_a_scorer_a_category_and_no_number_of_all() -> None:
    frame = trials(IMAGES, other=[0.5] * 16)
    found = protocol_numbers(frame, GROUPS, {"one": "geneval", "two": "other"}, "none")
    naive = found[found["search"] == "naive"].set_index("group")
    assert list(naive.index) == ["one", "two"]
    assert naive["score"].tolist() == ["geneval", "other"]
    assert naive["value"].tolist() == [pytest.approx(8 / 12), 0.5]


def test_every_point_has_its_own_number() -> None:
    found = protocol_numbers(trials(IMAGES), GROUPS, {"": "geneval"}, "groups")
    whole = found[found["group"] == ALL].set_index("search")
    assert whole.loc["best_of_n", "value"] - whole.loc["naive", "value"] == pytest.approx(0.1)
    assert (whole.loc["best_of_n", "nfe"], whole.loc["best_of_n", "curve"]) == (36, "best_of_n")


def test_a_score_that_is_not_there_is_no_number() -> None:
    found = numbers(scorers={"": "dpg"})
    assert math.isnan(found.loc[ALL, "value"])
    assert (found.loc[ALL, "n"], found.loc[ALL, "unscored"]) == (0, 16)


def test_a_run_without_a_protocol_says_so() -> None:
    assert stated({"resolved": {}}) is None
    assert stated({"resolved": {}, "protocol": {"name": "somebody's", "statement": "x"}}) is None
    assert stated({"resolved": {}, "protocol": "geneval"}) is None
    hostile = {"name": "geneval", "statement": "x", "groups": {"a": [-1, 10**9]}}
    found = stated({"resolved": {"conditions": ["p"]}, "protocol": hostile})
    assert found is not None
    assert found.groups == {}
