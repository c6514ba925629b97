"""Measure what a store of encoded prompts saves: memory of host and device, and time to load.

``python -m bench.benchmarks.encoding`` is one of the processes that are measured.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from bench.benchmarks.resume import peak, resident

if TYPE_CHECKING:
    from bench.study.study import Study
    from tts.models.base import Model

WAYS = {
    "encode": "the one process that encodes",
    "stored": "an engine, prompts from the store",
    "own": "an engine with its own text encoders",
}
"""Kinds of processes, in this order: the first fills the store that the second reads."""


@dataclass(frozen=True)
class Loaded:
    """The cost of a process beyond its imports.

    Args:
        what: a value of :data:`WAYS`.
        prompts: number of prompts.
        seconds: seconds to load, and to encode or to predict once.
        cpu_seconds: CPU seconds of all threads.
        mebibytes: peak resident memory above that after the imports.
        kept_mebibytes: resident memory at the end, above that after the imports.
        device_mebibytes: peak on the GPU; 0: it used none.
    """

    what: str
    prompts: int
    seconds: float
    cpu_seconds: float
    mebibytes: float
    kept_mebibytes: float
    device_mebibytes: float


def loaded(config: str, overrides: Sequence[str]) -> list[Loaded]:
    """Measure each of :data:`WAYS` in a new process, on a study's model and prompts."""
    with TemporaryDirectory() as folder:
        return [_measured(way, config, [*overrides, f"engines.prompts={_where(way, folder)}"]) for way in WAYS]


def _where(way: str, folder: str) -> str:
    return "memory" if way == "own" else str(Path(folder) / "prompts")


def _measured(way: str, config: str, overrides: list[str]) -> Loaded:
    command = [sys.executable, "-m", "bench.benchmarks.encoding", way, config, *overrides]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603  (our own interpreter)
    return Loaded(WAYS[way], **json.loads(done.stdout.splitlines()[-1]))


def measure(way: str, config: str, overrides: list[str]) -> dict[str, Any]:
    """The cost of one of :data:`WAYS` in this process, without imports."""
    import diffusers  # noqa: F401
    import torch
    import transformers  # noqa: F401

    from bench.study.config import load
    from bench.study.study import Study
    from bench.workers.numerics import set_numerics

    study = Study(load(config, [*overrides, "output=unused"]))
    set_numerics(study.config.engines)
    study.model.identity()  # which every process reads, whatever it loads
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, wall, cpu = resident(), time.perf_counter(), time.process_time()
    prompts, _kept = _encode(study) if way == "encode" else _predict(study)
    taken = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
    device = torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else 0.0
    memory = {"mebibytes": peak() - before, "kept_mebibytes": resident() - before, "device_mebibytes": device}
    return {"prompts": prompts, **taken, **memory}


def _encode(study: Study) -> tuple[int, None]:
    from bench.workers.prompts import encode_here

    return encode_here(study), None


def _predict(study: Study) -> tuple[int, Model]:
    """One prediction; the model, which stays."""
    import torch

    from bench.workers.prompts import load_model

    model = load_model(study)
    sampler: Any = model.sampler
    x = torch.zeros(1, *model.shape, device=study.config.engines.device)
    with torch.inference_mode():
        model.denoise(x, torch.tensor([sampler.times[0]], dtype=torch.float64), [study.conditions[0]])
    return 1, model


def main(way: str, config: str, *overrides: str) -> None:
    """Print what :func:`measure` finds, as JSON."""
    sys.stdout.write(json.dumps(measure(way, config, [*overrides])) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
