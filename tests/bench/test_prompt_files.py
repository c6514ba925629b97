"""Prompt files as other programs write them give the right prompts, or one line that says why they cannot."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.study.conditions import resolve
from tts.errors import DataError, SettingError
from tts.models.stable_diffusion import StableDiffusion

SD = StableDiffusion()
LIST = '[\n  "a fox reading",\n  "two owls, one asleep",\n  "a \\"neon\\" sign"\n]\n'
CAPTIONS = (
    '{"info": {"year": 2014}, "images": [{"id": 1}], "annotations": [{"image_id": 1, "caption": "A wave."}, '
    '{"image_id": 1, "caption": "A surfer."}]}'
)
QUOTED = 'Prompt\tCategory\n"a ""big"" cat"\tAnimals\n"two lines\nof one prompt"\tAnimals\n'
QUOTED_ALL = '"Prompt"\t"Category"\n"a ""big"" cat"\t"Animals"\n'
COLUMN = {"column": "prompt"}

RIGHT: dict[str, tuple[str, str, dict[str, Any], list[str]]] = {
    "a JSON list": ("x.json", LIST, {}, ["a fox reading", "two owls, one asleep", 'a "neon" sign']),
    "a JSON list of objects": ("x.json", '[{"id": 1, "prompt": "a"}, {"id": 2, "prompt": "b"}]', {}, ["a", "b"]),
    "COCO's captions": ("x.json", CAPTIONS, {"column": "caption"}, ["A wave.", "A surfer."]),
    "a suffix in capitals": ("X.CSV", "prompt\na\nb\n", {}, ["a", "b"]),
    "JSON lines in capitals": ("X.JSONL", '{"prompt": "a"}\n', {}, ["a"]),
    "ndjson": ("x.ndjson", '{"prompt": "a"}\n{"prompt": "b"}\n', {}, ["a", "b"]),
    "no header": (
        "x.csv",
        'A bench in snow.\n"A stove, a sink."\nA bus.\n',
        {},
        ["A bench in snow.", "A stove, a sink.", "A bus."],
    ),
    "a header of two words that is named": ("x.csv", "my prompts\na\n", {"column": "my prompts"}, ["a"]),
    "semicolons": ("x.csv", "prompt;category\na bench;colors\n", COLUMN, ["a bench"]),
    "semicolons in one column": ("x.csv", "prompt\na; b\nc\n", {}, ["a; b", "c"]),
    "tabs": ("x.csv", "prompt\tcategory\na bench\tcolors\n", COLUMN, ["a bench"]),
    "commas in .tsv": ("x.tsv", "prompt,category\na bench,colors\n", COLUMN, ["a bench"]),
    "several captions a row": ("x.jsonl", '{"c": ["a", "b"]}\n{"c": ["caf\u00e9"]}\n', {}, ["a", "b", "caf\u00e9"]),
    "captions inside objects": (
        "x.jsonl",
        '{"f": "1.jpg", "s": [{"raw": "a"}, {"raw": "b"}]}\n',
        {"column": "s.raw"},
        ["a", "b"],
    ),
    "quoted tabs": ("x.tsv", QUOTED, {"column": "Prompt"}, ['a "big" cat', "two lines\nof one prompt"]),
    "all quoted": ("x.tsv", QUOTED_ALL, {"column": "Prompt"}, ['a "big" cat']),
    "quotation marks of prompts": (
        "x.tsv",
        'Prompt\tC\n"yes"\ta\na "sign"\tb\n',
        {"column": "Prompt"},
        ['"yes"', 'a "sign"'],
    ),
    "U+2028": ("x.txt", "a castle\u2028on a hill\na cow\n", {}, ["a castle\u2028on a hill", "a cow"]),
    "old ends of lines": ("x.txt", "a\rb\r\nc\n", {}, ["a", "b", "c"]),
    "prompts with commas": (
        "x.txt",
        "a cat, a dog\ntext, in capitals\nb\n",
        {},
        ["a cat, a dog", "text, in capitals", "b"],
    ),
    "classes": ("x.jsonl", '{"label": 3}\n{"label": 5}\n', {}, ["3", "5"]),
    "a filter of numbers": ("x.jsonl", '{"p": "a", "n": 1}\n{"p": "b", "n": 2}\n', {"where": {"n": 2}}, ["b"]),
}


def resolved(folder: Path, name: str, content: str, values: dict[str, Any]) -> list[Any]:
    path = folder / name
    path.write_bytes(content.encode())
    return resolve({"file": str(path), **values}, SD)


@pytest.mark.parametrize("case", RIGHT)
def test_the_prompts_are_those_that_were_meant(case: str, tmp_path: Path) -> None:
    name, content, values, prompts = RIGHT[case]
    assert resolved(tmp_path, name, content, values) == prompts


WRONG: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "lists of an object": ("x.json", CAPTIONS, {}, "images (id); annotations (image_id, caption)"),
    "an object without lists": ("x.json", '{"a": 1}', {}, "no list"),
    "a list of lists": ("x.json", "[[1]]", {}, "neither a list of texts nor one of objects"),
    "no JSON": ("x.json", "a cat\n", {}, "is not a .json file"),
    "JSON as text": ("x.txt", LIST, {}, "looks like JSON"),
    "JSON lines as text": ("x.prompts", '{"prompt": "a"}\n{"prompt": "b"}\n', {}, "looks like JSON"),
    "tabs as text": ("x.txt", "prompt\tcategory\na\tb\n", {}, "looks like a table with tabs (.tsv)"),
    "a table as text": ("prompts", "id,prompt\n1,a\n", {}, "looks like a table (.csv)"),
    "a header or a prompt": ("x.csv", "red bench\nblue cow\n", {}, "may be its header or a prompt"),
    "semicolons without a column": ("x.csv", "prompt;category\na;b\n", {}, "column is missing"),
    "no text": ("x.jsonl", '{"p": [1, 2], "n": 1}\n', {"column": "p"}, "column p of"),
    "texts beside others": ("x.jsonl", '{"file": "1.jpg", "p": [1]}\n', {}, "column is missing"),
    "half a character": ("x.jsonl", '{"p": "a"}\n{"p": "a \\ud83d"}\n', {}, "line 2: p has half a character"),
    "no captions": ("x.jsonl", '{"p": ["a"]}\n{"p": []}\n', {}, "line 2: has no p"),
    "deep": ("x.json", "[" * 100_000, {}, "is not a .json file"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_told_is_refused_in_one_line(case: str, tmp_path: Path) -> None:
    name, content, values, message = WRONG[case]
    with pytest.raises((SettingError, DataError)) as error:
        resolved(tmp_path, name, content, values)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def parquet(folder: Path, **columns: Any) -> str:
    pq.write_table(pa.table(columns), folder / "x.parquet")
    return str(folder / "x.parquet")


def test_a_structure_of_parquet_is_columns(tmp_path: Path) -> None:
    sentences = [{"raw": "a wave", "sentid": 1}, {"raw": "a surfer", "sentid": 2}]
    path = parquet(tmp_path, filename=["1.jpg", "2.jpg"], sentences=sentences)
    with pytest.raises(SettingError, match=r"column is missing; .* has filename, sentences.raw, sentences.sentid"):
        resolve({"file": path}, SD)
    assert resolve({"file": path, "column": "sentences.raw"}, SD) == ["a wave", "a surfer"]


def test_parquets_other_types_are_read(tmp_path: Path) -> None:
    prompts = pa.array(["a cat", "a dog", "a cat"]).dictionary_encode()
    path = parquet(tmp_path, prompt=prompts, id=[1, 2, 3])
    assert resolve({"file": path}, SD) == ["a cat", "a dog"]
    assert resolve({"file": path, "where": {"id": 2}}, SD) == ["a dog"]
    large = parquet(tmp_path, prompt=pa.array(["a"], pa.large_string()))
    assert resolve({"file": large}, SD) == ["a"]
    several = parquet(tmp_path, captions=[["a", "b"], ["c"]])
    assert resolve({"file": several}, SD) == ["a", "b", "c"]


def test_bytes_of_parquet_are_never_passed_over_for_another_column(tmp_path: Path) -> None:
    path = parquet(tmp_path, image=[b"x"], name=["1.jpg"])
    with pytest.raises(SettingError, match=r"column is missing; .* has name, image"):
        resolve({"file": path}, SD)
    with pytest.raises(SettingError, match=r"column image of .* holds no texts; those that do: name"):
        resolve({"file": path, "column": "image"}, SD)


@pytest.mark.parametrize("call", ["is_dir", "iterdir"])
def test_a_folder_that_may_not_be_read_is_refused_in_one_line(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.txt").write_text("a cat")

    def denied(_: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")  # root may read everything

    monkeypatch.setattr(Path, call, denied)
    with pytest.raises(DataError, match=rf"^{tmp_path}: cannot be read \(Permission denied\)$"):
        resolve({"file": str(tmp_path)}, SD)


def test_a_folder_tells_of_the_file_that_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a cat")
    (tmp_path / "b.txt").write_text("")
    with pytest.raises(DataError, match=rf"^{tmp_path}/b.txt: has no prompts$"):
        resolve({"file": str(tmp_path)}, SD)


def test_a_row_of_a_folder_that_lacks_another_files_column_has_no_prompt(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"prompt": "a cat"}\n')
    (tmp_path / "b.jsonl").write_text('{"caption": "a dog"}\n')
    with pytest.raises(DataError, match=rf"^{tmp_path}, line 1: has no prompt$"):
        resolve({"file": str(tmp_path), "column": "prompt"}, SD)
