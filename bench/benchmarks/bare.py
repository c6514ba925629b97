"""The bare network in a tight loop: what the hardware can do."""

from __future__ import annotations

import multiprocessing
import os
import time
from multiprocessing.connection import Connection

from bench.study import Study

NICE = 15  # Ray's workers run at this niceness; the bare network must not get more of a busy machine


def bare_rate(study: Study, seconds: float = 5.0) -> float:
    """Denoiser forwards/s of the bare network: as many processes as the study has engines, side by side.

    With guidance a row of the batch is two forwards, as in a run's NFE. Each process has an engine's batch and threads
    and calls the denoiser on one fixed batch again and again.
    """
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in range(study.config.engines.count)]
    loops = [context.Process(target=_loop, args=(study, seconds, theirs)) for _, theirs in pipes]
    for loop in loops:
        loop.start()
    for ours, _ in pipes:
        ours.recv()  # ready
    for ours, _ in pipes:
        ours.send("go")
    rates = [float(ours.recv()) for ours, _ in pipes]
    for loop in loops:
        loop.join()
    return sum(rates)


def _loop(study: Study, seconds: float, pipe: Connection) -> None:
    import torch

    from tts.engine import calls_of
    from tts.noise import normal

    os.nice(max(0, NICE - os.nice(0)))
    engines = study.config.engines
    torch.set_num_threads(engines.threads)
    model = study.model.load(engines.device)
    rows = [calls_of(model, normal(k, model.shape)) for k in range(engines.batch)]
    calls = [row[k % len(row)] for k, row in enumerate(rows)]  # all steps side by side, as in an engine
    x = torch.stack([call.x for call in calls]).to(engines.device)
    levels = torch.tensor([call.level for call in calls], dtype=torch.float64)
    conditions = [study.conditions[0]] * engines.batch
    with torch.inference_mode():
        model.denoise(x, levels, conditions)
        pipe.send("ready")
        pipe.recv()
        start, passes = time.perf_counter(), 0
        while time.perf_counter() - start < seconds:
            model.denoise(x, levels, conditions)[0, 0, 0, 0].item()  # the item waits for the device
            passes += 1
    pipe.send(passes * engines.batch * model.passes / (time.perf_counter() - start))
