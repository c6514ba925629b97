"""Locks that keep tests of several processes apart."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def room(locks: Path, alone: bool) -> Iterator[None]:
    """A lock that many processes or only one may hold; a process that waits to be alone keeps later ones out.

    Args:
        locks: folder of the two lock files; processes with the same folder share the room.
        alone: whether no other process may be in the room.
    """
    with (locks / "door").open("a") as door, (locks / "room").open("a") as inside:
        fcntl.flock(door, fcntl.LOCK_EX)
        fcntl.flock(inside, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(door, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(inside, fcntl.LOCK_UN)  # closing the file is not enough if a child process holds it, too
