"""Locks by which tests of several processes keep out of each other's way."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def room(locks: Path, alone: bool) -> Iterator[None]:
    """A lock for many or for one: a process that waits to be alone keeps later ones out.

    Args:
        locks: folder of the two locks; the same one is the same room.
        alone: whether nobody else may be there.
    """
    with (locks / "door").open("a") as door, (locks / "room").open("a") as inside:
        fcntl.flock(door, fcntl.LOCK_EX)
        fcntl.flock(inside, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(door, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(inside, fcntl.LOCK_UN)  # that it is closed is not enough where a child has it, too
