"""Write files whole or not at all."""

from __future__ import annotations

import errno
import os
import uuid
from pathlib import Path


def atomic_write(path: Path, data: bytes | memoryview) -> None:
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
