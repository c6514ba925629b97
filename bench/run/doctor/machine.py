"""The machine: software, processors, memory, disk, limits."""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.run.doctor.finding import Finding, Verdict, judged
from bench.store.manifest import versions
from bench.store.storage import Storage
from bench.study.config import Engines
from tts.cores import usable_cores
from tts.errors import TTSError, first_line

GIBIBYTE = 2**30
FREE_BYTES = 2 * GIBIBYTE
"""Free bytes of a disk that hold a large run's rows and images."""
OPEN_FILES = 1024
MEMORY_AN_ENGINE = 2 * GIBIBYTE
WRITE_SECONDS = 0.5


def software() -> Iterator[Finding]:
    """Versions of what results depend on."""
    for name, version in versions().items():
        yield Finding("software", name, version)


def machine(engines: Engines) -> Iterator[Finding]:
    """Processors, memory and limits, against what the engines ask for."""
    cores, wanted = usable_cores(), engines.count * engines.threads
    yield judged(
        "machine",
        "processors",
        f"{cores} for {engines.count} engines of {engines.threads} threads",
        wanted <= cores or engines.address != "local",
        f"they take turns on a core; set engines.count or engines.threads so that their product is at most {cores}",
    )
    memory = _memory()
    if memory is not None:
        yield judged(
            "machine",
            "memory",
            f"{memory / GIBIBYTE:.1f} GiB free",
            memory >= engines.count * MEMORY_AN_ENGINE,
            "an engine takes 1 to 2 GiB beside its weights; set engines.count lower",
        )
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    yield judged(
        "machine",
        "open files",
        str(files),
        files >= OPEN_FILES,
        f"Ray opens some hundreds; allow at least {OPEN_FILES} by ulimit -n {OPEN_FILES}",
    )
    shared = Path("/dev/shm")  # noqa: S108  (looked at, not written)
    if shared.is_dir() and engines.backend == "ray":
        free = shutil.disk_usage(shared).free
        fine = free >= GIBIBYTE // 4
        yield judged(
            "machine",
            "shared memory",
            f"{free / GIBIBYTE:.1f} GiB free in {shared}",
            fine,
            "Ray keeps its objects there; start the container with --shm-size=1g",
        )


def disk(output: Storage, folder: Path | None) -> Iterator[Finding]:
    """Space, and how long a small file takes to be safely written where the run would lie.

    Args:
        output: where the run would lie.
        folder: the same on this machine; None: it lies in an object store.
    """
    for subject, place in (("temporary files", Path(tempfile.gettempdir())), ("output", folder)):
        if place is None:
            continue
        there = next(each for each in (place, *place.parents) if each.is_dir())
        free = shutil.disk_usage(there).free
        yield judged(
            "disk",
            subject,
            f"{free / GIBIBYTE:.1f} GiB free at {place}",
            free >= FREE_BYTES,
            "a large run writes more; " + ("set TMPDIR" if subject != "output" else "set output") + " to another disk",
        )
    made = [] if folder is None else [each for each in (folder, *folder.parents) if not each.exists()]
    yield _written(output)
    for each in made:
        if each.is_dir():
            each.rmdir()


def _written(output: Storage) -> Finding:
    name, start = f".doctor-{os.getpid()}", time.perf_counter()
    try:
        output.write(name, b"?" * 4096)
        output.remove(name)
    except (OSError, TTSError) as error:
        return Finding("disk", "writing", f"{output}: {first_line(error)}", Verdict.BAD, "set output to another place")
    seconds = time.perf_counter() - start
    return judged(
        "disk",
        "writing",
        f"{1e3 * seconds:.0f} ms for a file at {output}",
        seconds < WRITE_SECONDS,
        "a slow store holds a run up at its end only; to write less often, set flush_seconds higher",
    )


def _memory() -> float | None:
    """Bytes of memory that are free to take."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    found = dict(line.split(":", 1) for line in lines)
    return 1024.0 * int(found["MemAvailable"].split()[0]) if "MemAvailable" in found else None
