"""Weights on a shared file system, copied once to each machine.

Hundreds of engines that read the same gigabytes from one server at the same moment overload it. If ``$TTS_STAGE`` names
a folder, engines read a copy there, which the first engine on a machine makes while the others wait.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from pathlib import Path

from filelock import FileLock

from tts.errors import WeightsError
from tts.files.homes import expanded

VARIABLE = "TTS_STAGE"


def near(path: Path) -> Path:
    """A file or folder, or its copy on this machine.

    A copy belongs to one state of the source: its path, and the sizes and times of its files.

    Raises:
        WeightsError: the copy cannot be made.
    """
    stage = os.environ.get(VARIABLE)
    if not stage or not _is_there(path):  # code that reads it reports that it is missing
        return path
    try:
        copy = expanded(stage) / f"{_state(path)}-{path.name}"
        if not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            _copy(path, copy)
    except OSError as error:
        raise WeightsError(
            f"engines.stage {stage}: {path.name} cannot be copied there ({error.strerror or error}); name a folder "
            "with more space, or leave the setting out"
        ) from None
    return copy


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # its folder may not be looked into
        return False


def _copy(path: Path, copy: Path) -> None:
    with FileLock(copy.with_name(f".{copy.name}.lock")):  # a dying process releases the lock
        if copy.exists():  # another process has made it meanwhile
            return
        half = copy.with_name(f".{copy.name}.{uuid.uuid4().hex}.tmp")
        try:
            if path.is_dir():
                shutil.copytree(path, half)
            else:
                shutil.copyfile(path, half)
            half.rename(copy)
        except BaseException:
            shutil.rmtree(half, ignore_errors=True) if half.is_dir() else half.unlink(missing_ok=True)
            raise


def _state(path: Path) -> str:
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    stats = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.is_file()]
    return hashlib.blake2b(repr((str(path.resolve()), stats)).encode(), digest_size=8).hexdigest()
