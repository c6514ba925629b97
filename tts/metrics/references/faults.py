"""What goes wrong while a reference is read, in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tts.errors import DataError, TTSError, first_line


@contextmanager
def told(where: str, fault: str) -> Iterator[None]:
    """Context in which a damaged or foreign file may make anything of its reader.

    Args:
        where: the setting and the path.
        fault: what is wrong with them.

    Raises:
        DataError: something was raised that is no error of ours.
    """
    try:
        yield
    except TTSError:
        raise
    except FileNotFoundError:
        raise DataError(f"{where}: no such file or folder") from None
    except Exception as error:  # zip, tar, their compressions and Pillow have a dozen kinds
        raise DataError(f"{where}: {fault} ({first_line(error)})") from None
