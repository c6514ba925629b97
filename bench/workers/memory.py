"""Let the C library keep freed memory in processes of engines that compute on a CPU.

glibc returns a heap's free end to the system, and whole heaps of 64 MiB of threads other than the main one. A network
takes and frees as much in every pass, so that a pass may have thousands of page faults: 5 to 8 % of the CPU time of the
embedded network. It happens at one moment and not at another, as it depends on what else is in the heap.
"""

from __future__ import annotations

import ctypes
import os

_OPTIONS = {"MALLOC_TRIM_THRESHOLD_": (-1, 1 << 30), "MALLOC_MMAP_THRESHOLD_": (-3, 1 << 25)}
"""glibc's variables, their numbers for ``mallopt``, and values in bytes; the second's is the largest one."""


def variables() -> dict[str, str]:
    """The environment of a process to come, in which all threads share one heap; values of this environment win."""
    if _tuned():
        return {}
    values = {"MALLOC_ARENA_MAX": "1", **{name: str(value) for name, (_, value) in _OPTIONS.items()}}
    return {name: os.environ.get(name, value) for name, value in values.items()}


def keep_memory() -> None:
    """The same for the main thread's heap of this process, where the C library can be told."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None or _tuned():
        return
    for name, (option, value) in _OPTIONS.items():
        if name not in os.environ:
            mallopt(option, value)


def _tuned() -> bool:
    """Whether the user has tuned it in another way."""
    return "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", "")
