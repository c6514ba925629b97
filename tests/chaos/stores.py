"""Disks and object stores that fail while they are written to, and drivers that are killed while they write."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mortal_pools import Killed
from pyarrow import fs

from bench.store.storage import ObjectStorage
from chaos.quota import Quota

FAULT, KILL = "store fault", "driver killed while it writes"
ERRORS = (errno.ENOSPC, errno.EIO, errno.ESTALE)


class Trouble:
    """Lets calls fail, or the driver end in them, before they have done anything or after they have done all.

    Args:
        fault, kill: chances, at each call.
    """

    def __init__(self, coins: random.Random, quota: Quota, fault: float = 0.1, kill: float = 0.03) -> None:
        self.coins, self.quota, self.fault, self.kill = coins, quota, fault, kill
        self.dead = False

    def around(self, works: Callable[..., Any]) -> Callable[..., Any]:
        """A call that works, or does not."""

        def call(*arguments: Any) -> Any:
            mishap, late = self._draw(), self.coins.random() < 0.5
            if mishap is not None and not late:
                raise mishap
            result = works(*arguments)
            if mishap is not None:
                raise mishap
            return result

        return call

    def _draw(self) -> BaseException | None:
        coin = self.coins.random()
        if coin < self.kill and self.quota.spend(KILL):
            self.dead = True
            return Killed()
        if self.kill <= coin < self.kill + self.fault and self.quota.spend(FAULT):
            number = self.coins.choice(ERRORS)
            return OSError(number, os.strerror(number))
        return None


class Bucket(ObjectStorage):
    """An object store in memory, whose PUTs fail if there is :attr:`trouble`; an answer may be lost, too."""

    def __init__(self) -> None:
        self.address, self._root = "mock://bucket/run", "run"
        self.filesystem = fs._MockFileSystem()
        self.trouble: Trouble | None = None

    def write(self, name: str, data: bytes) -> None:
        put = self._put if self.trouble is None else self.trouble.around(self._put)
        put(name, data)

    def _put(self, name: str, data: bytes) -> None:
        self.filesystem.create_dir(self.path(name).rpartition("/")[0], recursive=True)
        super().write(name, data)


@contextmanager
def troubled(place: Path | Bucket, trouble: Trouble) -> Iterator[None]:
    """Writing to a place is in trouble; a driver that was killed tidies nothing up."""
    with pytest.MonkeyPatch.context() as patch:
        if isinstance(place, Bucket):
            patch.setattr(place, "trouble", trouble)
        else:
            for call in ("fsync", "replace"):
                patch.setattr(os, call, trouble.around(getattr(os, call)))
            patch.setattr(Path, "unlink", _tidied(trouble))
        yield


def _tidied(trouble: Trouble) -> Callable[..., None]:
    unlink = Path.unlink

    def tidy(path: Path, missing_ok: bool = False) -> None:
        if not trouble.dead:
            unlink(path, missing_ok)

    return tidy
