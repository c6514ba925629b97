"""Prompts from files in their published forms, and ImageNet's classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.study.conditions import resolve
from bench.study.config import RunConfig
from bench.study.study import Study
from tts.errors import DataError, SettingError
from tts.models.cifar10 import Cifar10
from tts.models.edm import EDM
from tts.models.stable_diffusion import StableDiffusion
from tts.settings import parse

SD = StableDiffusion()
DRAWBENCH = 'No.,Prompts,Category\n1,A red car.,Colors\n2,"A ""big"" cat,\nand a dog.",Counting\n3,A red car.,Colors\n'
PARTI = 'Prompt\tCategory\tChallenge\tNote\nbond\tAbstract\tBasic\tx\na "sign" that says yes\tPeople\tWriting\t\n'
GENEVAL = (
    '{"tag": "single_object", "include": [{"class": "bench", "count": 1}], "prompt": "a photo of a bench"}\n'
    '{"tag": "colors", "include": [], "prompt": "a photo of a red cow"}\n'
)


def written(folder: Path, name: str, content: str | bytes) -> str:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


FILES: dict[str, tuple[str, str | bytes, dict[str, Any], list[str]]] = {
    "lines": ("p.txt", "# mine\na cat\n\n  a dog \na cat\n", {}, ["a cat", "a dog"]),
    "windows": ("p.txt", "\ufeffa cat\r\na dog\r\n", {}, ["a cat", "a dog"]),
    "drawbench": ("d.csv", DRAWBENCH, {}, ["A red car.", 'A "big" cat,\nand a dog.']),
    "drawbench by name": ("d.csv", DRAWBENCH, {"format": "drawbench"}, ["A red car.", 'A "big" cat,\nand a dog.']),
    "drawbench of a category": ("d.csv", DRAWBENCH, {"where": {"Category": "Colors"}}, ["A red car."]),
    "partiprompts": ("p.tsv", PARTI, {}, ["bond", 'a "sign" that says yes']),
    "partiprompts of some": ("p.tsv", PARTI, {"where": {"Challenge": ["Writing"]}}, ['a "sign" that says yes']),
    "geneval": ("g.jsonl", GENEVAL, {}, ["a photo of a bench", "a photo of a red cow"]),
    "geneval of a tag": ("g.jsonl", GENEVAL, {"where": {"tag": "colors"}}, ["a photo of a red cow"]),
    "one column": ("x.csv", "text\na\nb\n", {}, ["a", "b"]),
    "a named column": ("x.csv", "text,other\na,1\nb,2\n", {"column": "text"}, ["a", "b"]),
    "first": ("p.txt", "a\nb\nc\n", {"first": 2}, ["a", "b"]),
}


@pytest.mark.parametrize("case", FILES)
def test_prompts_of_a_file(case: str, tmp_path: Path) -> None:
    name, content, values, prompts = FILES[case]
    assert resolve({"file": written(tmp_path, name, content), **values}, SD) == prompts


def test_prompts_of_a_parquet_column(tmp_path: Path) -> None:
    pq.write_table(pa.table({"n": [1, 2], "text": ["a", "b"]}), tmp_path / "p.parquet")
    assert resolve({"file": str(tmp_path / "p.parquet")}, SD) == ["a", "b"]


def test_a_sample_is_drawn_once_and_for_all(tmp_path: Path) -> None:
    path = written(tmp_path, "p.txt", "\n".join(f"prompt {k:03}" for k in range(100)))
    drawn, again = (resolve({"file": path, "sample": 10}, SD) for _ in range(2))
    assert drawn == again == sorted(set(drawn))
    assert len(drawn) == 10
    assert drawn != resolve({"file": path, "sample": 10, "sample_seed": 1}, SD)
    assert resolve({"file": path, "sample": 5, "first": 5}, SD) == [f"prompt {k:03}" for k in range(5)]


BAD: dict[str, tuple[str, str | bytes, dict[str, Any], str]] = {
    "not there": ("p.txt", "", {"file": "nowhere.txt"}, "nowhere.txt: cannot be read"),
    "empty": ("p.txt", "# nothing\n", {}, "has no prompts"),
    "not UTF-8": ("p.txt", b"caf\xe9\n", {}, "in UTF-8"),
    "no JSON": ("p.jsonl", "{'a': 1}\n", {}, "is not a .jsonl file"),
    "no objects": ("p.jsonl", "3\n", {}, "holds no object"),
    "no Parquet": ("p.parquet", "text", {}, "is not a .parquet file"),
    "open quotes": ("p.csv", 'a\n"b\n', {}, "is not a .csv file"),
    "a cell too many": ("p.csv", "a\nb,c\n", {}, "line 2 has 2 columns"),
    "which column": ("p.csv", "a,b\n1,2\n", {}, "column is missing"),
    "no such column": ("p.csv", "text\n1\n", {"column": "txt"}, "no column 'txt'; did you mean 'text'"),
    "no such filter": ("d.csv", DRAWBENCH, {"where": {"Categry": "x"}}, "did you mean 'Category'"),
    "no row": ("d.csv", DRAWBENCH, {"where": {"Category": "x"}}, "no row of"),
    "another list": ("d.csv", DRAWBENCH, {"format": "geneval"}, "is no geneval list"),
    "no prompt": ("d.csv", "No.,Prompts,Category\n1,,Colors\n", {}, "line 2: has no Prompts"),
    "too many": ("p.txt", "a\nb\n", {"sample": 3}, "3 are asked for, and there are 2"),
    "more than first": ("p.txt", "a\nb\nc\n", {"sample": 3, "first": 2}, "sample = 3 is more than first = 2"),
    "unknown key": ("p.txt", "a\n", {"colum": "x"}, "did you mean 'column'"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_named_in_one_line(case: str, tmp_path: Path) -> None:
    name, content, values, message = BAD[case]
    with pytest.raises((SettingError, DataError)) as error:
        resolve({"file": written(tmp_path, name, content), **values}, SD)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_imagenets_classes_are_indices_for_one_model_and_prompts_for_another() -> None:
    given = {"imagenet": ["tench", 9, "1-2"]}
    assert resolve(given, EDM()) == [0, 9, 1, 2]
    assert resolve(given, SD) == ["a tench", "an ostrich", "a goldfish", "a great white shark"]
    assert resolve({**given, "template": "{name}, a photo"}, SD)[0] == "tench, a photo"
    assert len(resolve({"imagenet": "all", "sample": 36}, EDM())) == 36


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"imagenet": ["tnch"]}, "did you mean 'tench'"),
        ({"imagenet": [0], "template": "{nam}"}, "may hold {name} and {a} only"),
        ({"imagenet": [0], "template": "{"}, "may hold {name} and {a} only"),
        ({"imagnet": [0]}, "say where they are from"),
        ({"imagenet": [0], "file": "x"}, "say where they are from"),
    ],
)
def test_wrong_classes_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError) as error:
        resolve(given, SD)
    assert message in str(error.value)


def test_imagenets_classes_are_not_those_of_another_model() -> None:
    with pytest.raises(SettingError, match="imagenet has 1000 classes, and the model 10"):
        resolve({"imagenet": "all"}, Cifar10())


def test_whoever_gets_the_configuration_does_not_need_the_file(tiny: Callable[..., RunConfig], tmp_path: Path) -> None:
    path = Path(written(tmp_path, "classes.txt", "cat\ndog\n"))
    study = Study(tiny(problems={"conditions": {"file": str(path)}}))
    path.unlink()
    sent = parse(RunConfig, study.config.model_dump(mode="json"), "manifest")
    assert Study(sent).digest() == study.digest()
    assert study.conditions == [3, 5]
