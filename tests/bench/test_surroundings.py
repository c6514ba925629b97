"""Unusual machines: settings of matplotlib, a closed output, file systems that cannot sync folders."""

from __future__ import annotations

import errno
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tiny_study import TINY

from bench.study.config import RunConfig
from tts.errors import WeightsError
from tts.files.reading import obstacle
from tts.files.whole import atomic_write
from tts.models.checkpoint import check_safetensors
from tts.settings import parse

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """A simulated run where everything is unusual, in a process of its own; and its folder."""
    folder = tmp_path_factory.mktemp("unusual")
    engines = {"backend": "local", "batch": 4, "simulate": 0}
    (folder / "it.yaml").write_text(yaml.safe_dump({**TINY, "engines": engines, "output": str(folder / "out")}))
    (folder / "matplotlibrc").write_text("text.usetex: True\n")
    given = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "MATPLOTLIBRC": str(folder / "matplotlibrc"),
        "HOME": "/proc",
    }
    command = ["bash", "-c", f"exec {sys.executable} -m bench run it.yaml >&-"]
    return subprocess.run(command, cwd=folder, env=given, capture_output=True, text=True, check=False), folder / "out"


@pytest.mark.slow
def test_matplotlibs_settings_and_a_home_that_cannot_be_written_change_nothing(
    found: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    process, folder = found
    assert process.returncode == 0, process.stderr
    assert "atplotlib" not in process.stderr
    assert (folder / "curves.png").stat().st_size > 1000


@pytest.mark.slow
def test_a_closed_output_is_no_trouble(found: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    process, _ = found
    assert (process.returncode, process.stdout) == (0, ""), process.stderr
    assert "Traceback" not in process.stderr


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EIO])
def test_a_folder_that_cannot_be_synced_is_no_error(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    if number == errno.EIO:
        with pytest.raises(OSError, match="Input/output error"):
            atomic_write(tmp_path / "x", b"y")
    else:
        atomic_write(tmp_path / "x", b"y")
    assert (tmp_path / "x").read_bytes() == b"y"


@pytest.mark.parametrize("output", ["s3://bucket/a//b", "s3://bucket/a/b/", "s3://bucket//a///b//"])
def test_slashes_of_an_address_are_single(output: str) -> None:
    assert parse(RunConfig, {**TINY, "output": output}, "x.yaml").output == "s3://bucket/a/b"


def test_weights_that_may_not_be_read_are_not_called_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.safetensors"
    assert obstacle(path) == "no such file"

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "open", denied)  # root may read everything
    with pytest.raises(WeightsError, match=re.escape(f"weights {path}: cannot be read (Permission denied)")):
        check_safetensors(path)


def test_the_examples_take_no_columns_from_names_of_folders() -> None:
    text = (ROOT / "docs" / "reference" / "results.md").read_text(encoding="utf-8")
    assert text.count("/*.parquet'") == text.count("hive_partitioning = false") > 3
