"""Weights copied once to each machine."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from pathlib import Path

import pytest

from tts.errors import WeightsError
from tts.files import hub
from tts.files.staging import VARIABLE, near


def source(folder: Path, content: bytes = b"weights") -> Path:
    """A file on a slow file system."""
    folder.mkdir(exist_ok=True)
    (folder / "model.pkl").write_bytes(content)
    return folder / "model.pkl"


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fast disk of this machine."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "stage"))
    return tmp_path / "stage"


def copies(stage: Path) -> list[Path]:
    """Finished copies."""
    return sorted(path for path in stage.iterdir() if not path.name.startswith("."))


def test_without_a_stage_files_are_read_where_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    path = source(tmp_path / "server")
    assert near(path) is path


def test_a_file_is_copied_and_found_again(tmp_path: Path, stage: Path) -> None:
    path = source(tmp_path / "server")
    copy = near(path)
    assert copy.parent == stage
    assert copy.name.endswith("-model.pkl")
    assert copy.read_bytes() == b"weights"
    (tmp_path / "server" / "other").write_bytes(b"x")
    assert near(path) == copy
    assert copies(stage) == [copy]


def test_a_changed_file_is_copied_anew(tmp_path: Path, stage: Path) -> None:
    path = source(tmp_path / "server")
    near(path)
    source(tmp_path / "server", b"better weights")
    assert near(path).read_bytes() == b"better weights"
    assert len(copies(stage)) == 2


def test_a_folder_is_copied_whole_with_what_its_links_point_to(tmp_path: Path, stage: Path) -> None:
    path = source(tmp_path / "blobs")
    snapshot = tmp_path / "snapshot"
    (snapshot / "unet").mkdir(parents=True)
    (snapshot / "unet" / "model.pkl").symlink_to(path)
    copy = hub.local_folder(str(snapshot), "id")
    assert copy is not None
    assert copy.parent == stage
    assert not (copy / "unet" / "model.pkl").is_symlink()
    assert (copy / "unet" / "model.pkl").read_bytes() == b"weights"


def test_what_is_missing_is_left_to_its_reader(tmp_path: Path, stage: Path) -> None:
    assert near(tmp_path / "none.pkl") == tmp_path / "none.pkl"
    assert not stage.exists()


def _copy_and_count(path: Path, log: Path) -> None:
    copyfile = shutil.copyfile

    def counted(source: Path, to: Path) -> object:
        with log.open("a") as file:
            file.write("copied\n")
        return copyfile(source, to)

    shutil.copyfile = counted  # type: ignore[assignment]
    near(path)


def test_engines_that_start_together_copy_once(tmp_path: Path, stage: Path) -> None:
    path = source(tmp_path / "server", os.urandom(5_000_000))
    context = multiprocessing.get_context("spawn")
    engines = [context.Process(target=_copy_and_count, args=(path, tmp_path / "log")) for _ in range(4)]
    for engine in engines:
        engine.start()
    for engine in engines:
        engine.join()
    assert [engine.exitcode for engine in engines] == [0] * 4
    assert (tmp_path / "log").read_text() == "copied\n"
    assert [copy.read_bytes() for copy in copies(stage)] == [path.read_bytes()]


def test_what_may_not_be_looked_at_is_named(tmp_path: Path, stage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 300)
    assert near(long) == long
    with pytest.raises(WeightsError, match=r"id .*: cannot be read \(File name too long\)"):
        hub.local_folder(str(long), "id")
    monkeypatch.setenv(VARIABLE, str(long))
    with pytest.raises(WeightsError, match=r"engines\.stage .*: model\.pkl cannot be copied there \(File name"):
        near(source(tmp_path / "server"))


def test_a_full_disk_is_named_and_leaves_no_half_copy(
    tmp_path: Path, stage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Path, to: Path) -> None:
        to.write_bytes(b"wei")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(WeightsError, match=r"engines\.stage .*: model\.pkl cannot be copied there \(No space left"):
        near(source(tmp_path / "server"))
    assert copies(stage) == []
    assert not list(stage.glob(".*.tmp"))


def test_a_full_disk_is_no_fault_of_the_hub(tmp_path: Path, stage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.write_bytes(b"a file")
    path = source(tmp_path / "hub")
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *_, **__: str(path))
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: str(path.parent))
    for fetch in (lambda: hub.hub_file("own/er", "model.pkl", "id"), lambda: hub.hub_folder("own/er", ("*",), "id")):
        with pytest.raises(WeightsError, match=r"^engines\.stage .* cannot be copied there \(File exists\)"):
            fetch()
