"""Measure the bare network by batch size, in this process: rows a second, and memory."""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.study.study import Study
from bench.workers.building import load_metrics
from bench.workers.kernels import with_kernels
from bench.workers.numerics import set_numerics
from bench.workers.prompts import load_model
from tts.errors import EngineError

if TYPE_CHECKING:
    from tts.models.base import Model


@dataclass(frozen=True)
class Rate:
    """Measurements of one batch size.

    Args:
        batch: rows of a forward pass.
        rows_per_second: denoiser forwards a second of the bare network; with guidance a row is two.
        seconds: a forward pass.
        mebibytes: most memory held meanwhile; the GPU's, or on a CPU the process's.
        obstacle: what lets a row depend on the rows beside it, so that no engine starts with this size; None: nothing.
    """

    batch: int
    rows_per_second: float
    seconds: float
    mebibytes: float
    obstacle: str | None = None


def rates_of(
    study: Study, batches: Iterable[int], seconds: float, trying: Callable[[int], None] = lambda _: None
) -> Iterator[Rate]:
    """Measure sizes in this process.

    Args:
        study: its batch does not matter.
        batches: in this order.
        seconds: for each; at least three passes.
        trying: called with each size before it is measured.

    Raises:
        DeviceMemoryError: at the first size that is too large.
    """
    import torch

    from tts.engine.device_errors import named

    engines = study.config.engines
    if engines.device == "cuda" and not torch.cuda.is_available():
        raise EngineError("engines.device: cuda is asked for, but torch finds no GPU; set engines.device=cpu")
    set_numerics(engines)
    with named(1):
        model = loaded(study)
        obstacle = _obstacles(study, model)
    for batch in batches:
        trying(batch)
        with named(batch):
            if engines.compile:
                torch.compiler.reset()  # or the networks of more than eight sizes would be too many to keep
            _forget_peak(engines.device)
            found = obstacle(batch)
            taken = pass_seconds(one_pass(study, model, batch), seconds)
            yield Rate(batch, batch * model.passes / taken, taken, _peak(engines.device), found)


def loaded(study: Study) -> Model:
    """The model as a study's engines have it."""
    return with_kernels(load_model(study), study.config.engines)


def _obstacles(study: Study, model: Model) -> Callable[[int], str | None]:
    """What keeps an engine from a batch, by the checks that it makes at its start; all rewards in memory, as there."""
    from tts.engine.batching import rows_are_independent
    from tts.engine.features import first_dependent_features
    from tts.engine.score_checks import first_dependent_score

    engines, condition = study.config.engines, study.conditions[0]
    second = engines.reward_device
    rewards = {name: settings.load(second, study.model.caption) for name, settings in study.rewards.items()}

    metrics = load_metrics(study, second)

    def obstacle(batch: int) -> str | None:
        if not rows_are_independent(model, batch, condition, engines.device):
            return "the network"
        scored = engines.score_batch or batch
        return first_dependent_score(
            model, rewards, scored, condition, engines.device, second
        ) or first_dependent_features(model, metrics, scored, engines.device, second)

    return obstacle


def pass_seconds(forward: Callable[[], None], seconds: float) -> float:
    """A pass's time, the median of some: what else the machine does meanwhile falls out."""
    forward()
    end, times = time.perf_counter() + seconds, list[float]()
    while time.perf_counter() < end or len(times) < 3:
        start = time.perf_counter()
        forward()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def one_pass(study: Study, model: Model, batch: int) -> Callable[[], None]:
    """A forward pass over one fixed batch, its rows at all steps as in an engine; returns when the device is done."""
    import torch

    from tts.engine.batching import calls_of
    from tts.noise import normal

    calls = [calls_of(model, normal(k, model.shape)) for k in range(batch)]
    chosen = [row[k % len(row)] for k, row in enumerate(calls)]
    x = torch.stack([call.x for call in chosen]).to(study.config.engines.device)
    levels = torch.tensor([call.level for call in chosen], dtype=torch.float64)
    conditions = [study.conditions[0]] * batch

    @torch.inference_mode()
    def forward() -> None:
        model.denoise(x, levels, conditions)[0, 0, 0, 0].item()  # the item waits for the device

    return forward


def _forget_peak(device: str) -> None:
    """Begin to measure memory anew; where a CPU's system cannot, the peak is that of all sizes so far."""
    if device == "cuda":
        import torch

        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    elif Path("/proc/self/clear_refs").exists():
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            return


def _peak(device: str) -> float:
    """Most memory held since :func:`_forget_peak`, in MiB."""
    if device == "cuda":
        import torch

        return float(torch.cuda.max_memory_allocated()) / 2**20
    status = Path("/proc/self/status")
    for line in status.read_text().splitlines() if status.exists() else ():
        if line.startswith("VmHWM"):  # not every kernel tells it
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
