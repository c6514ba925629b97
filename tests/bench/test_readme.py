"""The commands of README.md: each is one that the program takes, and runs as printed or says here why not."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import tiny_pipelines
import tiny_rewards
import typer
import yaml
from command_line import bench, size

from bench.commands.app import app

TEXT = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")

NOT_RUN = {
    "scale": "starts up to 64 engines on Ray; test_scale.py runs the command on fewer",
    "calibrate": "measures for a minute; test_calibrate.py runs it on sizes of its own",
    "train": "trains for hours on a folder of CIFAR-10; test_cli_training.py trains a small network",
    "--to": "uploads to the hub; test_publish.py does so to a hub of its own",
    "--address": "joins a cluster; the tests of clusters/ do",
}
"""A command, or an option of one, and why it does not run here."""

SMALL: dict[str, Any] = {
    "model": {"name": "cifar10", "sampler": {"steps": 3, "S_churn": 40}},
    "rewards": ["brightness"],
    "searches": ["naive", {"name": "random", "budget": {"N": [2]}}],
    "problems": {"conditions": ["cat"], "seeds": 2},
    "engines": {"backend": "local", "batch": 8},
}
"""The README's ``mine.yaml`` in seconds in place of hours."""

FIXTURES = {
    "--class": ["--set", "model.sampler={steps: 3, S_churn: 40}"],
    "stable-diffusion": ["--set", "model.id=sd", "--set", "model.steps=3", "--set", "K=1"],
    "sd": ["--set", "model.id=sd", "--set", "model.steps=3", "--K", "1"],
    "clip": ["--set", "reward.model=clip"],
    "problems.seeds=50": ["--set", "engines.simulate=0"],
}
"""What follows a command that has a word: small random weights in place of published ones, fewer steps and rounds."""


def blocks(language: str = "") -> list[str]:
    """The fenced blocks of a language."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    return [text for kind, text in found if kind == language]


def commands() -> Iterator[list[str]]:
    """The words of every ``tts-bench`` command in a block or in the text."""
    for line in "".join(blocks()).splitlines():
        if line.startswith("tts-bench "):
            yield shlex.split(line, comments=True)[1:]
    for quoted in re.findall(r"(?<!`)`(tts-bench [^`]+? --[^`]+)`(?!`)", TEXT):
        yield shlex.split(quoted)[1:]


COMMANDS = list({shlex.join(words): words for words in commands()}.values())
RUN = [words for words in COMMANDS if not set(words) & set(NOT_RUN)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working folder with all that the commands name."""
    place = tmp_path_factory.mktemp("readme")
    tiny_pipelines.save(tiny_pipelines.stable_diffusion(), place / "sd")
    tiny_rewards.clip_folder(place / "clip")
    page = (Path(__file__).parents[2] / "docs" / "extending.md").read_text(encoding="utf-8")
    [code] = re.findall(r"^```python\n# halfway.py\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (place / "halfway.py").write_text(code)
    (place / "mine.yaml").write_text(yaml.safe_dump({**SMALL, "output": "results/mine"}))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        result = bench("run", "mine.yaml")
        assert result.code == 0, result.err
        shutil.copytree("results/mine", "results/again")
        for copy in ("more", "small", "large"):
            shutil.copytree("results/mine", f"results/{copy}")
        yield place


def test_there_are_commands_of_every_kind() -> None:
    known = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    assert {words[0] for words in COMMANDS} <= known
    assert {words[0] for words in RUN} >= {"run", "status", "report", "compare", "curves", "replay", "generate", "list"}
    assert all(set(NOT_RUN) & set(words) for words in COMMANDS if words not in RUN)
    assert all(any(name in words for words in COMMANDS) for name in NOT_RUN)


@pytest.mark.parametrize("words", COMMANDS, ids=shlex.join)
def test_the_program_takes_its_options(words: list[str]) -> None:
    command = typer.main.get_command(app).commands[words[0]]  # type: ignore[attr-defined]
    command.make_context(words[0], words[1:])


@pytest.mark.parametrize("words", RUN, ids=shlex.join)
def test_it_runs_as_printed(words: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    if "--set" in words and "problems.seeds=50" in words:
        shutil.rmtree("results/more")  # another study than the copy that lies there
    trial = pq.read_table("results/mine/trials", columns=["trial"])["trial"][0].as_py()
    given = [trial[:8] if word == "3f2a" else word for word in words]
    extra = [option for word in words for option in FIXTURES.get(word, [])]
    result = bench(*given, *extra)
    assert result.code == 0, result.err


def test_the_yaml_is_a_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.study.config import load
    from bench.study.study import Study

    [text] = [block for block in blocks("yaml") if block.startswith("# mine.yaml")]
    monkeypatch.chdir(folder)
    Path("printed.yaml").write_text(text, encoding="utf-8")
    assert Study(load("printed.yaml")).size > 100


@pytest.mark.parametrize("line", [line for block in blocks("yaml") for line in block.splitlines() if "file:" in line])
def test_prompt_files_of_the_yaml_are_settings(line: str) -> None:
    from bench.study.conditions import PromptFile
    from tts.settings import parse

    parse(PromptFile, yaml.safe_load(line)["conditions"], "README")


def test_python_of_the_text_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    if not Path("results/quickstart").exists():
        shutil.copytree("results/mine", "results/quickstart")
    [code] = [block for block in blocks("python") if "read_parquet" in block]
    exec(compile(code, "README.md", "exec"), {})  # noqa: S102  (the page's own code)


def test_the_front_door_of_the_text_opens(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    [code] = [block for block in blocks("python") if "tts.play" in block]
    exec(compile(code, "README.md", "exec"), {})  # noqa: S102  (the page's own code)
    assert size(folder / "cat.png") == (32, 32)
