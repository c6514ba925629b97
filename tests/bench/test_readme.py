"""Commands and code of README.md and of the site: each runs as printed, or the page says what it needs."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import site_pages
import tiny_pipelines
import tiny_rewards
import typer
import yaml
from command_line import bench, size
from site_pages import ROOT, Block

import tts
from bench.commands.app import app
from bench.study.config import Problems, RunConfig
from bench.study.entries import entries_of
from tts.registry import METRICS, MODELS, REWARDS
from tts.settings import parse

NOT_RUN = {
    "calibrate": "measures for a minute; test_calibrate.py runs it on sizes of its own",
    "doctor": "measures for two minutes; test_doctor.py runs it on a small model",
    "serve": "serves until it is interrupted; test_serving.py asks such services",
    "scale": "starts up to 64 engines on Ray; test_scale.py runs the command on fewer",
    "quickstart": "is the quickstart itself, some minutes",
    "cifar10-reference": "is the reference run, half an hour",
    "policies.yaml": "is 800 trials; test_tabulate.py plays policies on tables",
}
"""By a word of a command that stands in the text or in a block without ``# needs``: why it does not run here."""

ELSEWHERE = {
    "docs/reference/results.md": "test_schema_docs.py",
    "docs/families.md": "test_own_family.py",
    "docs/remote.md": "test_serve_command.py",
    "docs/extend/": "test_extending.py",
}
"""Pages whose Python code is run by another test file."""

SMALL: dict[str, Any] = {
    "model": {"name": "cifar10", "sampler": {"steps": 3, "S_churn": 40}},
    "rewards": ["brightness"],
    "searches": ["naive", {"name": "random", "budget": {"N": [2]}}],
    "problems": {"conditions": ["cat"], "seeds": 2},
    "engines": {"backend": "local", "batch": 8},
}
"""Changes by which ``mine.yaml`` takes seconds instead of hours."""

FIXTURES = {
    "generate": ["--threads", "1"],  # like engines in tests: on a busy machine, two threads would wait for each other
    "--class": ["--set", "model.sampler={steps: 3, S_churn: 40}"],
    "stable-diffusion": ["--set", "model.id=sd", "--set", "model.sampler.steps=3", "--set", "K=1"],
    "sd": ["--set", "model.id=sd", "--set", "model.steps=3", "--K", "1"],
    "clip": ["--set", "reward.model=clip"],
    "problems.seeds=50": ["--set", "engines.simulate=0"],
    "--pilot": ["--set", "problems.seeds=2"],
    "tabulate": ["--candidates", "2"],
    "imagenet64-eval": ["--set", "problems.conditions=[0]", "--set", "problems.seeds=1"],
}
"""Options that are appended to commands with a given word: small random weights, fewer steps and rounds."""

COMMANDS = site_pages.commands()
RUN = [command.words for command in COMMANDS if not command.needs and not set(command.words) & set(NOT_RUN)]
PYTHON = [block for block in site_pages.blocks("python") if not block.page.startswith(tuple(ELSEWHERE))]
TARGETS = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working folder with everything that the commands name."""
    place = tmp_path_factory.mktemp("readme")
    tiny_pipelines.save(tiny_pipelines.stable_diffusion(), place / "sd")
    tiny_rewards.clip_folder(place / "clip")
    for name, code in site_pages.files().items():
        (place / name).write_text(code)
    (place / "PartiPrompts.tsv").write_text("Prompt\tCategory\tChallenge\tNote\na bridge\tWorld\tBasic\t\n")
    (place / "mine.yaml").write_text(yaml.safe_dump({**SMALL, "output": "results/mine"}))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.syspath_prepend(place)
        result = bench("run", "mine.yaml")
        assert result.code == 0, result.err
        shutil.copytree("results/mine", "results/again")
        for copy in ("more", "small", "large", "quickstart"):
            shutil.copytree("results/mine", f"results/{copy}")
        yield place


def test_the_readme_is_short() -> None:
    assert len(site_pages.pages()["README.md"].splitlines()) <= 110


@pytest.mark.parametrize("block", site_pages.blocks(), ids=lambda block: block.place)
def test_every_block_is_of_a_kind_that_is_tested(block: Block) -> None:
    assert block.language in ("", "python", "yaml", "text")
    if block.language == "" and not block.needs:
        for line in filter(None, block.text.splitlines()):
            words = shlex.split(line, comments=True)
            assert not words or words[0] == "tts-bench" or (words[0] == "make" and words[1] in TARGETS), line


def test_there_are_commands_of_every_kind() -> None:
    known = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    shown = {command.words[0] for command in COMMANDS}
    assert shown <= known
    assert shown >= known - {"train", "protocol"}  # the embedded networks; it has no options
    assert {words[0] for words in RUN} >= {"run", "status", "report", "compare", "curves", "replay", "generate", "list"}
    assert all(any(name in command.words for command in COMMANDS) for name in NOT_RUN)


@pytest.mark.parametrize("words", [command.words for command in COMMANDS], ids=shlex.join)
def test_the_program_takes_its_options(words: tuple[str, ...]) -> None:
    command = typer.main.get_command(app).commands[words[0]]  # type: ignore[attr-defined]
    command.make_context(words[0], list(words[1:]))


@pytest.mark.parametrize("words", RUN, ids=shlex.join)
def test_it_runs_as_printed(words: tuple[str, ...], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    if "--set" in words and "problems.seeds=50" in words:
        shutil.rmtree("results/more")  # it holds the copy of another study
    trial = pq.read_table("results/mine/trials", columns=["trial"])["trial"][0].as_py()
    placeholders = {"3f2a": trial[:8], "TRIAL": trial, "RUN": "results/mine", "FOLDER": "folder"}
    given = [placeholders.get(word, word) for word in words]
    extra = [option for word in words for option in FIXTURES.get(word, [])]
    result = bench(*given, *extra)
    assert result.code == 0, result.err


@pytest.mark.parametrize("block", site_pages.blocks("yaml"), ids=lambda block: block.place)
def test_its_yaml_is_a_study_or_a_part_of_one(block: Block, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    if block.text.startswith("conditions:"):
        for line in block.text.splitlines():
            parse(Problems, yaml.safe_load(line), block.place)
        return
    given = yaml.safe_load(block.text)
    config = parse(RunConfig, {**SMALL, "engines": {}, "output": "results/x", **given}, block.place)
    MODELS.make(config.model)
    for search in config.searches:
        assert entries_of(search)
    for registry, listed in ((REWARDS, [*config.rewards, *config.held_out]), (METRICS, config.metrics)):
        for entry in listed:
            registry.make(
                {key: value for key, value in entry.items() if key != "as"} if isinstance(entry, dict) else entry
            )


@pytest.mark.parametrize("page", site_pages.pages())
def test_models_in_its_text_can_be_made(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    for quoted in re.findall(r"(?<!`)`(model: \{[^`]+\})`", site_pages.pages()[page]):
        if "..." not in quoted and ": NAME" not in quoted:
            MODELS.make(yaml.safe_load(quoted)["model"])


@pytest.mark.parametrize("code", {block.text: block for block in PYTHON}.values(), ids=lambda block: block.place)
def test_its_python_runs(code: Block, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(tts, "load_model", partial(tts.load_model, sampler={"steps": 3}))  # in place of 18
    exec(compile(code.text, code.page, "exec"), {})  # noqa: S102  (the page's own code)
    if "cat.png" in code.text:
        assert size(folder / "cat.png") == (32, 32)


def test_there_is_python_here_and_elsewhere() -> None:
    assert any("tts.play" in block.text for block in PYTHON)
    assert any("read_parquet" in block.text for block in PYTHON)
    tests = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    assert set(ELSEWHERE.values()) <= tests
