"""Check the device and its arithmetic: independent rows, precisions, and how near it is to the CPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from bench.run.doctor.finding import Finding, Verdict, judged
from bench.run.precisions import changed
from bench.study.config import Engines
from bench.study.study import Study
from bench.workers.numerics import set_numerics
from bench.workers.pool import describe_device
from bench.workers.rates import Rate, loaded, rates_of
from tts.errors import DeviceMemoryError, TTSError, first_line
from tts.precision import Precision

if TYPE_CHECKING:
    from torch import Tensor

    from tts.models.base import Model

BATCHES = (1, 2, 4, 8, 16, 32, 64)
SECONDS = 0.3
"""Of the bare network, for each batch size."""

CPU_SHARE = 0.05
"""Difference from the CPU's answer, over its deviation, up to which roundings alone may have made it."""


def device(engines: Engines) -> Iterator[Finding]:
    """The device's name, its memory and its driver."""
    import torch

    if engines.device == "cpu":
        spare = torch.cuda.is_available()
        advice = "this machine has a GPU; set engines.device=cuda"
        yield judged("device", "name", describe_device("cpu"), not spare, advice)
        return
    if not torch.cuda.is_available():
        advice = "torch finds no GPU: is its driver there, and is torch built for it? else set engines.device=cpu"
        yield Finding("device", "name", "none", Verdict.BAD, advice)
        return
    properties = torch.cuda.get_device_properties(0)
    free, total = torch.cuda.mem_get_info()
    yield Finding("device", "name", f"{torch.cuda.device_count()} x {properties.name}")
    yield Finding("device", "capability", f"{properties.major}.{properties.minor}, CUDA {torch.version.cuda}")
    advice = "another process holds the rest; end it, or set engines.batch lower"
    seen = f"{free / 2**30:.1f} of {total / 2**30:.1f} GiB free"
    yield judged("device", "memory", seen, free > 0.8 * total, advice)


@dataclass(frozen=True)
class Numerics:
    """Findings on one precision.

    Args:
        precision: its name; None: the network has no choice of it.
        rates: of the bare network, by batch.
        fault: why larger batches, or this precision at all, cannot be had.
    """

    precision: Precision | None
    rates: tuple[Rate, ...]
    fault: str | None = None

    @property
    def sound(self) -> list[int]:
        """The batches at which rows are independent."""
        return [rate.batch for rate in self.rates if rate.obstacle is None]


def precisions(study: Study) -> Iterator[tuple[Precision | None, Study]]:
    """The study in each precision that its model may have, its own first."""
    own = getattr(study.model, "precision", None)
    yield own, study
    if own is None:
        return
    for other in get_args(Precision):
        if other != own:
            yield other, changed(study, {"precision": other})


def numerics(study: Study, precision: Precision | None, batches: Sequence[int] = BATCHES) -> Numerics:
    """Rows a second by batch, and whether rows depend on one another there."""
    rates: list[Rate] = []
    try:
        for rate in rates_of(study, batches, SECONDS):
            rates.append(rate)
    except DeviceMemoryError as error:
        return Numerics(precision, tuple(rates), str(error))
    except (TTSError, RuntimeError) as error:
        return Numerics(precision, tuple(rates), first_line(error))
    return Numerics(precision, tuple(rates))


def told(found: Numerics, wanted: int) -> Iterator[Finding]:
    """Findings on one precision."""
    name = found.precision or "the network's own precision"
    if found.rates:
        broken = [f"{rate.batch} ({rate.obstacle})" for rate in found.rates if rate.obstacle is not None]
        seen = f"at {_listed(found.sound)}" + (f"; not at {', '.join(broken)}" if broken else "")
        advice = f"set engines.batch to one of {_listed(found.sound)}, or engines.invariant=all on a GPU"
        fine = wanted in found.sound or wanted not in [rate.batch for rate in found.rates]
        yield judged("numerics", f"rows are independent, {name}", seen, fine, advice, bad=True)
        best = max(found.rates, key=lambda rate: rate.rows_per_second)
        seen = f"{best.rows_per_second:.1f} forwards/s at batch {best.batch}, {best.mebibytes:.0f} MiB"
        yield Finding("numerics", f"fastest, {name}", seen, value=best.rows_per_second)
    if found.fault is not None:
        yield Finding("numerics", f"limit, {name}", found.fault, Verdict.LOOK, "larger batches cannot be had")


def against_cpu(study: Study) -> Iterator[Finding]:
    """How far the device's answer is from the CPU's, at the steps of one trajectory."""
    if study.config.engines.device == "cpu":
        return
    cpu = study.config.engines.model_copy(update={"device": "cpu", "tf32": "convolutions", "invariant": "convolutions"})
    there = _answers(study)
    here = _answers(Study(study.config.model_copy(update={"engines": cpu})))
    apart = float((there - here).abs().max() / here.std())
    advice = "more than roundings do; set engines.tf32=none and model.precision=fp32, and look again"
    yield judged("numerics", "against the CPU", f"{apart:.2g} deviations apart at most", apart < CPU_SHARE, advice)


def _answers(study: Study) -> Tensor:
    """Predicted clean states at the steps of one trajectory, ``[steps, ...]`` on the host."""
    import torch

    from tts.engine.batching import calls_of
    from tts.noise import normal

    set_numerics(study.config.engines)
    model: Model = loaded(study)
    calls = calls_of(model, normal(0, model.shape))[:8]
    x = torch.stack([call.x for call in calls]).to(study.config.engines.device)
    levels = torch.tensor([call.level for call in calls], dtype=torch.float64)
    with torch.inference_mode():
        return model.denoise(x, levels, [study.conditions[0]] * len(calls)).cpu()


def _listed(batches: Sequence[int]) -> str:
    return ", ".join(map(str, batches)) or "none"
