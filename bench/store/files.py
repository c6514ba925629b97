"""Write files whole or not at all."""

from __future__ import annotations

import errno
import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tts.errors import SettingError, TTSError


def atomic_write(path: Path, data: bytes) -> None:
    """Write a file so that no reader, crash or power cut ever meets half of it.

    The bytes go to a hidden temporary file in the same folder (a rename across file systems is not atomic),
    reach the disk, and only then take the name.

    Args:
        path: the file; an older one of this name is replaced. Its folder must exist.
        data: the whole content.

    Raises:
        OSError: the file could not be written; the older one, if any, is still there.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)  # noqa: PTH105  (the call that the contract names)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


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
    if path.is_dir():
        raise SettingError(f"{option} {path}: is a folder; name a file")


def _sync_folder(folder: Path) -> None:
    """Make the folder's names, not only its files' contents, reach the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # CIFS and folders shared with a virtual machine
            raise
    finally:
        os.close(descriptor)
