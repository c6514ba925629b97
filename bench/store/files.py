"""Files that a user asked for: checked before the work, written whole, and refused in a line."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tts.errors import SettingError, TTSError
from tts.files.whole import atomic_write


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
