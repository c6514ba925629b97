"""A configuration of any kind is planned or refused in a line, and never leaves anything behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import bench, refused
from hypothesis import given

from fuzz.configurations import bombs, nearly_right, texts
from fuzz.watched import ends, examples, played, told


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder, without a network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path


def plan(here: Path, text: bytes) -> None:
    file = here / "study.yaml"
    file.write_bytes(text)
    played(here, "plan", file)


@examples(40)
@given(nearly_right())
def test_nearly_right(here: Path, values: dict[str, Any]) -> None:
    plan(here, yaml.dump(values, allow_unicode=True).encode("utf-8", "surrogatepass"))


@examples(20)
@given(texts())
def test_damaged_texts(here: Path, text: bytes) -> None:
    plan(here, text)


@pytest.mark.parametrize("text", bombs(), ids=["itself", "itself in a list", "nine of nine", "deep", "large"])
def test_texts_that_stand_for_very_much(here: Path, text: bytes) -> None:
    file = here / "study.yaml"
    file.write_bytes(text)
    result = played(here, "plan", file)
    assert result.code == 2
    assert len(result.err) < 600


class Begun(Exception):
    """A run is about to start its engines."""


@pytest.fixture
def begun(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Runs end where their engines would start, or be measured."""

    def begin(*_: object) -> None:
        raise Begun

    monkeypatch.setattr("bench.run.start.make_pool", begin)
    monkeypatch.setattr("bench.workers.calibration.calibrate", begin)
    return here


def run(file: Path) -> int:
    """The exit code of a run; 0 if it comes as far as to its engines."""
    try:
        result = bench("run", file)
    except Begun:
        return 0
    told(result)
    return -1 if result.err.startswith(DISK) else result.code


DISK = "error: output "
"""Refusals that are about what lies in a folder of this machine, at which ``plan`` does not look."""


@examples(40)
@given(nearly_right())
def test_what_is_planned_can_be_run(begun: Path, values: dict[str, Any]) -> None:
    file = begun / "study.yaml"
    file.write_bytes(yaml.dump(values, allow_unicode=True).encode("utf-8", "surrogatepass"))
    with ends():
        code = run(file)
    assert code in (-1, played(begun, "plan", file).code)


GOOD_WITHOUT = "model: cifar10\nrewards: [brightness]\nsearches: [naive]\n"


@pytest.mark.parametrize("command", ["plan", "run"])
@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("output: o\nproblems: {seeds: 1000000000000000000000000000000}", "problems.seeds"),
        ("output: o\nproblems: {random: 10000000000}", "problems.random"),
        ('output: o\nproblems: {conditions: ["a\\nb"]}', "unknown class 'a b'"),
        ("output: o\nsinks: [nobody]", "unknown sink 'nobody'"),
        ('output: "\\ud800"', "holds what cannot stand in a path"),
        ("output: s3://", "a bucket is missing: s3://BUCKET/PATH"),
        ("output: s3://bucket/a/../b", "no '.' or '..' among its parts"),
    ],
)
def test_both_refuse_in_one_line(begun: Path, command: str, line: str, message: str) -> None:
    file = begun / "study.yaml"
    file.write_text(f"{GOOD_WITHOUT}{line}\n")
    refused(message, command, file)
