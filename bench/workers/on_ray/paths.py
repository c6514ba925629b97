"""Where engines find modules: this project first, a user's own working folder last, as in the driver."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ray.job_config import JobConfig

T = TypeVar("T")
PROJECT = Path(__file__).parents[3]


class Job(JobConfig):  # type: ignore[misc]  # Ray's classes are not typed here
    """A driver of whose working folder Ray's workers hear nothing.

    Ray would search it before everything that is installed, so that a user's ``bench.py`` would hide this project.
    """

    def __init__(self) -> None:
        super().__init__(runtime_env={"env_vars": SearchPath.own().variables()})

    def _serialize(self) -> bytes:
        self._py_driver_sys_path = list[str]()
        serialized: bytes = super()._serialize()
        return serialized


@dataclass(frozen=True)
class SearchPath:
    """Folders of modules that are not installed, in the order of this process.

    Args:
        first: before what is installed; this project's own, if it is not installed.
        last: after it, as the working folder for a user's own reward.
    """

    first: tuple[str, ...]
    last: tuple[str, ...]

    @classmethod
    def own(cls) -> SearchPath:
        """Of this process."""
        standard = sysconfig.get_path("stdlib")
        middle = sys.path.index(standard) if standard in sys.path else 0
        return cls(_own([str(PROJECT), *sys.path[:middle]]), _own(sys.path[middle:]))

    def variables(self) -> dict[str, str]:
        """Environment variables of a process that is to search the first ones."""
        return {"PYTHONPATH": os.pathsep.join(self.first)}

    def append(self) -> None:
        """Have this process search the last ones, too."""
        sys.path += [folder for folder in self.last if folder not in sys.path]


def call_on(path: SearchPath, function: Callable[..., T], *arguments: object) -> T:
    """Call a function in a process that searches a path."""
    path.append()
    return function(*arguments)


def _own(folders: Iterable[str]) -> tuple[str, ...]:
    """Those of some folders that are there and in no installation of Python."""
    installed = {sys.prefix, sys.base_prefix, sys.exec_prefix}
    found = dict.fromkeys(Path(folder).absolute() for folder in folders if Path(folder).is_dir())
    return tuple(str(folder) for folder in found if not any(folder.is_relative_to(where) for where in installed))
