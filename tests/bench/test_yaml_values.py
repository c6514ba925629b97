"""Configurations as people write them: locales, double keys, numbers of YAML 1.1, pipes, long values."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_study import TINY

from bench.study import yaml_values
from bench.study.config import RunConfig, assignments, load, read_yaml
from tts.errors import SettingError
from tts.registry import MODELS
from tts.settings import parse


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "it.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_is_unicode_in_any_locale(encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("locale.getpreferredencoding", lambda *_: "ISO-8859-1")
    path = written(tmp_path, "prompt: ein Caf\u00e9\n".encode(encoding))
    assert read_yaml(path) == {"prompt": "ein Caf\u00e9"}


def test_a_file_is_opened_as_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def text(*_: Any, **__: Any) -> str:
        raise AssertionError("in the locale's encoding")

    path = written(tmp_path, "a: 1\n")
    monkeypatch.setattr(Path, "read_text", text)
    assert read_yaml(path) == {"a": 1}


def test_bytes_of_another_encoding_are_no_yaml(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="not YAML"):
        read_yaml(written(tmp_path, b"prompt: caf\xe9\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rewards: 1\nseed: 0\nrewards: 2\n", "'rewards' stands twice, in lines 1 and 3"),
        ("model:\n  steps: 1\n  steps: 2\n", "'steps' stands twice, in lines 2 and 3"),
        ("[{a: 1, a: 2}]", "'a' stands twice, in lines 1 and 1"),
        ("seed: 010\n", "line 1: YAML reads 010 as octal; write 10, or '010' for a text"),
        ("seed: -0_7\n", "write -7"),
        ("a: 1:30\n", "line 1: YAML reads 1:30 in base 60"),
        ("a: 1:30.5\n", "in base 60"),
    ],
)
def test_what_yaml_would_change_in_silence_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(yaml.YAMLError) as error:
        yaml_values.load(text)
    assert message in str(error.value)
    if not text.startswith("["):
        with pytest.raises(SettingError) as refusal:
            read_yaml(written(tmp_path, text))
        assert message in str(refusal.value)
        assert "\n" not in str(refusal.value)


def test_everything_else_is_as_it_was() -> None:
    text = "base: &b {a: 1, c: 2}\nit: {<<: *b, a: 3}\nboth: [0, 0.5, 0x1F, 0b11, 1_000]\n"
    text += "more: [1e-3, 1.5e+3, .inf, -3, '010', yes]\n"
    assert yaml_values.load(text) == yaml.safe_load(text)
    assert yaml_values.load(text)["it"] == {"a": 3, "c": 2}
    assert yaml_values.load("") is None


def test_an_override_is_held_to_the_same() -> None:
    with pytest.raises(SettingError, match=r"--set seed=010: '010' is not a YAML value .line 1: YAML reads 010 as oc"):
        assignments(["seed=010"])
    with pytest.raises(SettingError, match=r"--set a=\[: '\[' is not a YAML value$"):
        assignments(["a=["])


def test_nesting_without_end_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="not YAML"):
        read_yaml(written(tmp_path, "[" * 20_000))


def test_a_pipe_is_as_good_as_a_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    text = yaml.safe_dump({**TINY, "output": str(tmp_path / "out")})
    writer = threading.Thread(target=pipe.write_text, args=(text,))
    writer.start()
    found = load(str(pipe))
    writer.join()
    assert found.output == tmp_path / "out"


def test_a_folder_is_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="no such file"):
        load(str(tmp_path))


@pytest.mark.parametrize("output", [20260102, 1.5, None, ["a"]])
def test_an_output_that_is_no_text_is_refused_in_words(output: Any) -> None:
    with pytest.raises(SettingError) as error:
        parse(RunConfig, {**TINY, "output": output}, "x.yaml")
    assert str(error.value).startswith(f"x.yaml: output = {output!r}: a folder's name is a text")
    assert len(str(error.value)) < 200


def test_a_long_wrong_value_is_cut(tmp_path: Path) -> None:
    levels = ["a0: &a0 [l, l, l, l, l, l, l, l, l]"]
    levels += [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]" for k in range(1, 5)]
    text = "\n".join([*levels, "model: cifar10", "rewards: [brightness]", "searches: [naive]", "output: x"])
    values = yaml.safe_load(text)
    given = {name: values[name] for name in ("model", "rewards", "searches", "output")}
    wrongs = ({**given, "problems": {"conditions": values["a4"]}}, {**given, "problems": values["a4"]}, values["a4"])
    for wrong in wrongs:
        with pytest.raises(SettingError) as error:
            parse(RunConfig, wrong, "x.yaml")
        assert len(str(error.value)) < 400


def test_edms_own_s_max_is_infinite_and_stays_json() -> None:
    given = {"name": "cifar10", "sampler": {"S_max": float("inf")}}
    _, model = MODELS.make(given)
    record = model.record()
    assert record["sampler"]["S_max"] == "inf"
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    again = MODELS.make({"name": "cifar10", **record})[1]
    assert again.record() == record
    assert again.plan() == model.plan()
    assert MODELS.make({"name": "cifar10", "sampler": {"S_max": 60}})[1].record()["sampler"]["S_max"] == 60
    for wrong in (float("nan"), float("-inf"), -1):
        with pytest.raises(SettingError, match="S_max"):
            MODELS.make({"name": "cifar10", "sampler": {"S_max": wrong}})
    with pytest.raises(SettingError, match="sigma_max"):
        MODELS.make({"name": "cifar10", "sampler": {"sigma_max": float("inf")}})
