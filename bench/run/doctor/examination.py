"""Everything that the doctor checks, the quick checks first."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from bench.run.doctor import device as devices
from bench.run.doctor.finding import Finding, Verdict
from bench.run.doctor.machine import disk, machine, software
from bench.run.doctor.noises import noises
from bench.run.doctor.speed import speed
from bench.store.storage import LocalStorage, place
from bench.study.study import Study
from bench.workers.numerics import set_numerics
from tts.errors import TTSError, first_line

Watch = Callable[[str], None]


def examine(study: Study, watch: Watch = lambda _: None) -> Iterator[Finding]:
    """Check everything on which a study's run depends; nothing of the run is written.

    Args:
        study: a configuration's.
        watch: told what is being looked at.
    """
    study.check_draws()
    config = study.config
    output = place(config.output)
    folder = Path(str(output)) if isinstance(output, LocalStorage) else None
    parts: dict[str, Callable[[], Iterable[Finding]]] = {
        "software": software,
        "machine": lambda: machine(config.engines),
        "disk": lambda: disk(output, folder),
        "Ray": lambda: cluster(study),
        "device": lambda: devices.device(config.engines),
        "numerics": lambda: _numerics(study),
        "speed": lambda: speed(study),
    }
    for name, look in parts.items():
        watch(name)
        if name == "Ray" and config.engines.backend != "ray":
            continue
        try:
            yield from look()
        except (TTSError, RuntimeError, OSError) as error:
            yield Finding(name, "looking", first_line(error), Verdict.BAD, "what stands there keeps a run from going")


def cluster(study: Study) -> Iterator[Finding]:
    """A cluster is started, or joined, and computes something."""
    from bench.workers.on_ray.task import run_once

    engines, start = study.config.engines, time.perf_counter()
    where = run_once(engines, "engines.address", _somewhere)
    seconds = time.perf_counter() - start
    yield Finding("Ray", "cluster", f"{engines.address}: answers after {seconds:.1f} s, from {where}", value=seconds)


def _somewhere() -> str:
    import platform

    return platform.node()


def _numerics(study: Study) -> Iterator[Finding]:
    set_numerics(study.config.engines)
    wanted = int(study.config.engines.batch)
    sizes = tuple(sorted({*devices.BATCHES, wanted}))
    for place_in_order, (precision, other) in enumerate(devices.precisions(study)):
        found = devices.numerics(other, precision, sizes)
        yield from devices.told(found, 0 if place_in_order else wanted)
    yield from devices.against_cpu(study)
    yield from noises(study.config.engines)
