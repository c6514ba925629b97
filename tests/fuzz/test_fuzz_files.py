"""Prompt files and weights of any content are read or refused; nothing in them is run."""

from __future__ import annotations

import json
import os
import pickle
import random
import struct
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given

from bench.study.prompt_files import read
from fuzz.folders import chances
from fuzz.watched import ends, examples
from tts.errors import TTSError, WeightsError
from tts.files import edm_pickle, numpy_pickle, tensors, weights_file

PROMPTS = ["a cat", 'a "red" cube, on top', "naïve café", "猫", "one; two\tthree"]

FORMS = ["txt", "csv", "tsv", "jsonl", "json", "parquet"]


class Touch:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return open, (self.path, "w")


def whole(form: str, folder: Path) -> bytes:
    """A list of prompts in a form in which lists are published."""
    match form:
        case "txt":
            return "\n".join(PROMPTS).encode()
        case "csv":
            quoted = [text.replace('"', '""') for text in PROMPTS]
            return "\n".join(["prompt,kind", *(f'"{text}",x' for text in quoted)]).encode()
        case "tsv":  # as they are published, without quotation marks
            return "\n".join(["prompt\tkind", *(f"{text.expandtabs()}\tx" for text in PROMPTS)]).encode()
        case "jsonl":
            return "\n".join(json.dumps({"prompt": text}) for text in PROMPTS).encode()
        case "json":
            return json.dumps([{"prompt": text} for text in PROMPTS]).encode()
    pq.write_table(pa.table({"prompt": PROMPTS}), folder / "whole.parquet")
    return (folder / "whole.parquet").read_bytes()


def damaged(content: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(content) + 1)
    match chance.choice(["cut", "bytes", "bom", "crlf", "utf-16", "latin", "nul", "quote", "twice", "none"]):
        case "cut":
            return content[:at]
        case "bytes":
            return content[:at] + chance.randbytes(chance.randrange(1, 9)) + content[at:]
        case "bom":
            return b"\xef\xbb\xbf" + content
        case "crlf":
            return content.replace(b"\n", chance.choice([b"\r\n", b"\r", b"\n\n"]))
        case "utf-16":
            return content.decode(errors="replace").encode("utf-16")
        case "latin":
            return content[:at] + b"\xe9" + content[at:]
        case "nul":
            return content[:at] + b"\x00" + content[at:]
        case "quote":
            return content[:at] + b'"' + content[at:]
        case "twice":
            return content + b"\n" + content
    return b""


@pytest.mark.parametrize("form", FORMS)
def test_undamaged_prompt_files_are_read(tmp_path: Path, form: str) -> None:
    file = tmp_path / f"prompts.{form}"
    file.write_bytes(whole(form, tmp_path))
    assert len(read(file).rows) == len(PROMPTS)


@pytest.mark.parametrize("form", FORMS)
@examples(10)
@given(chances)
def test_prompt_files(tmp_path: Path, form: str, chance: random.Random) -> None:
    file = tmp_path / f"prompts.{form}"
    file.write_bytes(damaged(whole(form, tmp_path), chance))
    with ends(), suppress(TTSError):
        table = read(file)
        assert len(table.lines) == len(table.rows) > 0


READERS: list[Callable[[Path], object]] = [
    weights_file.shapes,
    weights_file.digest,
    edm_pickle.read,
    lambda path: tensors.read(path, "weights"),
    lambda path: numpy_pickle.read(path, "reference"),
]


@examples(20)
@given(chances)
def test_weights(tmp_path: Path, chance: random.Random) -> None:
    touched = tmp_path / "touched"
    header = {"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
    lying = json.dumps({"x": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}}).encode()
    plain = json.dumps(header).encode()
    content = chance.choice(
        [
            struct.pack("<Q", len(plain)) + plain + bytes(8),
            struct.pack("<Q", len(lying)) + lying + bytes(8),
            struct.pack("<Q", 2**62) + plain,
            pickle.dumps(Touch(str(touched))),
            chance.randbytes(200),
        ]
    )
    file = tmp_path / chance.choice(["w.safetensors", "w.pt", "w.pth", "w.bin", "w.ckpt", "w"])
    file.write_bytes(damaged(content, chance) if chance.random() < 0.5 else content)
    with ends(), suppress(TTSError):
        chance.choice(READERS)(file)
    assert not touched.exists()


class Command:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (self.command,)


@examples(20)
@given(chances)
def test_zipped_checkpoints(tmp_path: Path, chance: random.Random) -> None:
    touched, file = tmp_path / "touched", tmp_path / chance.choice(["w.pt", "w.pth", "w.ckpt", "w"])
    hostile = chance.random() < 0.5
    torch.save({"x": Command(f"touch {touched}") if hostile else torch.zeros(2)}, file)
    if chance.random() < 0.3:  # taken for a TorchScript archive
        with zipfile.ZipFile(file, "a") as archive:
            archive.writestr("archive/constants.pkl", b"")
    if chance.random() < 0.5:
        file.write_bytes(damaged(file.read_bytes(), chance))
        hostile = False
    with ends(), suppress(TTSError):
        chance.choice(READERS)(file)
        assert not hostile
    assert not touched.exists()


@pytest.mark.parametrize("content", [b"\x80\x02.", b"\x80\x02)t.", b"\x80\x02(.", b"\x80\x02}}s."])
def test_pickles_that_take_from_an_empty_stack(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.pt").write_bytes(content)
    with pytest.raises(WeightsError, match=r"weights .*w\.pt: damaged"):
        tensors.read(tmp_path / "w.pt", "weights")
