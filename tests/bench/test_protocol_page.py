"""A run that follows a published protocol, and the protocol's section on its page."""

from __future__ import annotations

import json
import shutil
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from command_line import bench
from report_runs import rewrite
from rich.console import Console
from test_published import PROMPTS, TAGS

from bench.report.html.analysis import load
from bench.report.html.blocks import Table
from bench.report.html.page_data import Page
from bench.report.protocols import stated
from bench.report.sections import protocol as section
from bench.run.start import run
from bench.statistics.protocol_numbers import ALL
from bench.store import reader as store
from bench.study.config import RunConfig
from tts.settings import parse


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated run on a file in GenEval's form, with two images for each prompt."""
    import tiny_pipelines

    folder = tmp_path_factory.mktemp("protocol")
    rows = [
        {"tag": tag, "include": [{"class": "dog", "count": 1}], "prompt": prompt}
        for tag, prompt in zip(TAGS, PROMPTS, strict=True)
    ]
    (folder / "metadata.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    model = tiny_pipelines.save(tiny_pipelines.PIPELINES["stable-diffusion"](), folder / "pipeline")
    values = {
        "model": {"name": "stable-diffusion", "id": str(model), "steps": 3, "eta": 1.0},
        "protocol": "geneval",
        "rewards": ["geneval"],
        "searches": ["naive", {"name": "best_of_n", "budget": {"N": [2]}}],
        "problems": {"conditions": {"file": str(folder / "metadata.jsonl")}, "seeds": 2},
        "engines": {"backend": "local", "simulate": 0.0},
        "output": str(folder / "run"),
    }
    shown = Console(record=True, width=200, file=StringIO())
    run(parse(RunConfig, values, "here"), shown)
    (folder / "run" / "shown.txt").write_text(shown.export_text())
    return folder / "run"


@pytest.mark.slow
def test_a_run_states_its_protocol_as_it_begins_and_in_its_manifest(finished: Path) -> None:
    expected = "GenEval, but 6 prompts in place of 553; 2 images a prompt"
    assert f"protocol: {expected}" in (finished / "shown.txt").read_text()
    told = store.read_manifest(finished)["protocol"]
    assert told["statement"] == expected
    assert told["groups"] == {"counting": [0, 1, 2], "colors": [3, 4], "position": [5]}


@pytest.mark.slow
def test_the_page_has_the_number_and_what_must_be_said(finished: Path) -> None:
    [analysis] = load([finished], "naive")
    shown = section.section(analysis, Page(0))
    statement, table, said = shown.blocks
    assert "GenEval, but 6 prompts in place of 553; 2 images a prompt." in statement.text  # type: ignore[union-attr]
    assert statement.style == "warning"  # type: ignore[union-attr]
    names = [column.name for column in table.columns]  # type: ignore[union-attr]
    assert names[-4:] == ["mean of groups", "counting", "colors", "position"]
    assert [row[4].text for row in table.rows] == ["12", "12"]  # type: ignore[union-attr]
    texts = " ".join(text for _, text in said.sentences)  # type: ignore[union-attr]
    assert "the mean of the six tasks, not of the images" in texts
    assert "were on the protocol's own scorer" in texts
    [(name, content)] = section.files(analysis)
    assert name == "protocol.csv"
    found = stated(store.read_manifest(finished))
    assert found is not None
    frame = found.numbers(analysis.finished)
    expected = frame[(frame["group"] == ALL) & (frame["search"] == "naive")]["value"].item()
    naive = analysis.finished[analysis.finished["search"] == "naive"]
    means = naive.groupby(naive["condition"].map(found.groups))["score_geneval"].mean()
    assert expected == pytest.approx(means.mean())
    assert b"GenEval, but" in content


@pytest.mark.slow
def test_the_number_of_a_run_is_of_all_of_its_trials_beside_another_run(finished: Path, tmp_path: Path) -> None:
    """The other has half of the trials, and another best of N, so that curves need longer names."""
    half = Path(shutil.copytree(finished, tmp_path / "half"))

    def changed(trials: pd.DataFrame) -> pd.DataFrame:
        mine = trials["search"] == "best_of_n"
        own = {"settings": '{"N":2,"x":1}', "trial": trials["trial"].str.slice(0, 31) + "x"}
        others = {name: trials[name].mask(mine, value) for name, value in own.items()}
        return trials.assign(**others)[trials["seed"] == 0]

    rewrite(half, changed)
    [analysis] = load([half, finished], "naive")
    tables = [block for block in section.section(analysis, Page(0)).blocks if isinstance(block, Table)]
    assert [[row[4].text for row in table.rows] for table in tables] == [["6", "6"], ["12", "12"]]
    assert [table.rows[0][1].text for table in tables] == ["best of N x=1", "best of N"]
    assert all(table.rows[0][1].colour for table in tables)


@pytest.mark.slow
@pytest.mark.parametrize("resolved", [{"model": {"name": "x"}}, {"model": {"name": "x"}, "conditions": 3}])
def test_a_manifest_of_another_form_is_told_of_in_one_line(finished: Path, tmp_path: Path, resolved: Any) -> None:
    copied = Path(shutil.copytree(finished, tmp_path / "run"))
    manifest = json.loads((copied / "manifest.json").read_text())
    (copied / "manifest.json").write_text(json.dumps({**manifest, "resolved": resolved}))
    told = bench("report", copied, "--no-features")
    assert told.code == 2
    assert told.err == f"error: {copied}: its manifest does not say how its images were drawn\n"
