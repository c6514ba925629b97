"""Files that a user asked for: checked before the work, written whole, and refused in a line."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tts.errors import SettingError, TTSError
from tts.files.whole import atomic_write

LOCK = "tts-bench.lock"
"""File in a hidden folder of :func:`hidden`, which is locked for as long as its process lives."""


@contextmanager
def writing(to: object, option: str = "output") -> Iterator[None]:
    """Turn the system's errors of writing somewhere into a :class:`SettingError` of one line.

    Args:
        to: the place, as messages show it.
        option: what the user names it by.
    """
    try:
        yield
    except TTSError:  # some of ours are OSErrors, too, and say more
        raise
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split())
        raise SettingError(f"{option} {to}: cannot be written to ({reason})") from None


def write_output(path: Path, data: bytes, option: str = "output") -> None:
    """Write a file that a user asked for, and the folders above it.

    Args:
        option: what the user names it by.

    Raises:
        SettingError: it cannot be written.
    """
    with writing(path, option):
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, data)


@contextmanager
def hidden(folder: Path, prefix: str) -> Iterator[Path]:
    """A hidden folder for files that are not whole yet, which goes in the end; those of killed processes go now.

    Args:
        folder: where it is made.
        prefix: of its name.
    """
    for lock in folder.glob(f"{prefix}*/{LOCK}"):
        _clear(lock)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=folder) as made, (Path(made) / "new").open("w") as file:
        with suppress(OSError):  # a file system that knows no locks: nobody clears it
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            Path(file.name).rename(Path(made) / LOCK)  # nobody sees it before it is locked
        yield Path(made)


def _clear(lock: Path) -> None:
    """Remove the folder of a lock that nobody holds."""
    with suppress(OSError), lock.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(lock.parent)


def check_folder(path: Path, option: str = "output") -> None:
    """Check that files can be made in a folder, or the folder itself if it is missing; leaves nothing behind.

    Args:
        option: what the user names it by.

    Raises:
        SettingError: they cannot.
    """
    try:
        nearest = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
        with tempfile.TemporaryFile(dir=nearest):  # os.access would trust root with every folder, even those of /proc
            pass
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise SettingError(f"{option} {path}: cannot be written to ({reason})") from None


def check_file(path: Path, option: str = "output") -> None:
    """Check that :func:`write_output` will succeed; leaves nothing behind.

    Args:
        option: what the user names it by.

    Raises:
        SettingError: it will not.
    """
    check_folder(path.parent, option)
    with writing(path, option):
        is_folder = path.is_dir()
    if is_folder:
        raise SettingError(f"{option} {path}: is a folder; name a file")
