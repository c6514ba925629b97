"""Continuous batching on one device.

An engine holds segments of many problems, searches, budgets and steps, and advances as many of them as fit into one
forward pass at a time. The batch has one fixed, padded shape, so that a row's result does not depend on its neighbours
and kernels never change under load. States stay on the device; searches hold handles.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from tts.engine.device_errors import named
from tts.engine.device_noises import noises_for
from tts.engine.device_queue import DeviceQueue, queue_of
from tts.engine.padding import pad
from tts.engine.requests import EngineCounters, EvalRequest, EvalResult
from tts.engine.rows import Rows
from tts.engine.running import Row
from tts.engine.score_requests import ScoreRequest, ScoreResult
from tts.engine.scoring import HOST_THREADS, Scorer
from tts.engine.timeline import Timeline
from tts.errors import EngineError
from tts.metrics.base import Metric
from tts.models.base import Model
from tts.noise import Array, Noise, NoiseBank, NoiseRecipe
from tts.plan import Condition
from tts.prompts import lengthened
from tts.rewards.base import Reward
from tts.samplers.base import Call, drive, follow


class Engine:
    """Evaluates segments on one device.

    Args:
        model: the denoiser.
        rewards: rewards by the names that segments use.
        metrics: metrics of final images, by extractor.
        batch: rows of every forward pass.
        score_batch: images decoded and scored at once; None: ``batch``.
        reward_device: device of rewards that need one; None: the model's.
        stream: the device's queue; None: the usual one for the device.
        host_threads: threads that share divisible work on images beside the device; 0: the engine's own does it all.
        noise_threads: threads that make noises before they are needed; None: the usual number for the device.
        noise: the recipe that turns a seed into a tensor.
    """

    def __init__(
        self,
        model: Model,
        rewards: Mapping[str, Reward],
        batch: int,
        device: str = "cpu",
        score_batch: int | None = None,
        reward_device: str | None = None,
        stream: DeviceQueue | None = None,
        metrics: Mapping[str, Metric] | None = None,
        host_threads: int = HOST_THREADS,
        noise_threads: int | None = None,
        noise: NoiseRecipe = "host",
    ) -> None:
        self.model, self.rewards, self.batch, self.device = model, dict(rewards), batch, device
        self.flops: float | None = None  # FLOPs of one forward of one image; set by who counts them
        self.load = EngineCounters()
        self._stream = stream or queue_of(device)
        self._queued: deque[tuple[Any, Any]] = deque()  # begin and end of the batches that are not awaited yet
        self._pass_seconds = 0.0
        self._timeline, self._known = Timeline(self.load), 0.0
        second, timeline = reward_device, self._timeline
        self._scorer = Scorer(
            model, rewards, score_batch or batch, second, timeline, self._stream, metrics, host_threads
        )
        self.noises = noises_for(noise, model.shape, device, noise_threads, timeline)
        self._rows = Rows(model.sampler, model.shape, batch, device, self.noises)
        self.states = self._rows.states
        self._finishing: dict[int, EvalResult] = {}

    def submit(self, jobs: Iterable[EvalRequest]) -> None:
        """Queue jobs; the state from which a job's segment starts must be in :attr:`states`."""
        self._rows.submit(jobs)

    def release(self, keys: Iterable[int]) -> None:
        """Forget states that no handle refers to any more."""
        keys = list(keys)
        self._scorer.kept.forget(keys)
        for key in keys:
            self.states.release(key)

    @property
    def free_rows(self) -> int:
        """Free rows of the next forward pass."""
        return max(0, self.batch - self._rows.open)

    @property
    def busy(self) -> bool:
        """Whether :meth:`advance` has anything to do."""
        return bool(self._rows.open or self._scorer.busy)

    def report(self) -> dict[str, int]:
        """The number of jobs that only wait for their scores, for the scheduler that supplies the engine."""
        return {"scoring": len(self._finishing)}

    def advance(self) -> list[EvalResult]:
        """Run one forward pass and the rewards that are due; return the jobs that are done by now.

        Raises:
            DeviceError: the device failed, or its memory is too small for the batch.
        """
        with named(self.batch):
            return self._advance()

    @torch.inference_mode()
    def _advance(self) -> list[EvalResult]:
        done = self._retire(self._rows.fill())
        if self._rows.at_work:
            self._forward()
            done += self._retire(self._rows.settle())
        starved = self.free_rows > 0
        self._scorer.flush(partial=starved)
        idle = not self._rows.open
        start = time.perf_counter()
        scored = self._scorer.collect(wait=idle and not done)
        self._timeline.add("awaiting", start, time.perf_counter())
        self._timeline.settle(min(self._scorer.frontier, self._known if self._queued else float("inf")))
        return done + [self._finish(each) for each in scored]

    def close(self) -> None:
        """End the engine's threads."""
        self.noises.close()
        self._scorer.close()

    def _forward(self) -> None:
        while len(self._queued) > self._stream.ahead:
            self._await_batch()
        begin = self._stream.mark()
        self._rows.answer(self.model.denoise(*self._rows.asked()))
        self._queued.append((begin, self._stream.mark()))
        if not self._stream.ahead or not self._pass_seconds:
            self._await_batch()
        self._account()

    def _await_batch(self) -> None:
        """Wait for the oldest batch on the device, and measure it."""
        begin, end = self._queued.popleft()
        self._stream.wait(end)
        self._pass_seconds = self._stream.seconds(begin, end)
        self.load.seconds += self._pass_seconds
        self._known = self._stream.at(end)
        self._timeline.add("pass", self._stream.at(begin), self._known)

    def _account(self) -> None:
        """Charge the batch's time to its rows; a batch that is still on the device is charged the last one's time."""
        rows = self._rows.at_work
        self._rows.charge(self._pass_seconds / rows)
        self.load.batches += 1
        self.load.rows += rows

    def _retire(self, ended: Sequence[Row]) -> list[EvalResult]:
        """Keep the states of jobs that have taken their last step; returns the results of jobs that are done."""
        outcomes = [row.outcome(self.model.passes) for row in ended]
        scored = [row for row in ended if row.job.wants]
        for row, clean in zip(scored, self._rows.clean(scored), strict=True):
            self._scorer.add(self._score_request(row.job, clean))
        for row in ended:
            self._rows.keep(row)
        self._finishing |= {each.ticket: each for each, row in zip(outcomes, ended, strict=True) if row.job.wants}
        return [each for each, row in zip(outcomes, ended, strict=True) if not row.job.wants]

    def _score_request(self, job: EvalRequest, clean: Tensor) -> ScoreRequest:
        segment, plan = job.segment, self.model.sampler.plan
        mid = segment.stop < plan.steps
        preview, final = self.model.previews and mid, None if mid else job.state
        level = plan.level(plan.steps if segment.ahead else segment.stop)
        return ScoreRequest(job.ticket, clean, segment.condition, job.wants, preview, final, level)

    def _finish(self, scored: ScoreResult) -> EvalResult:
        outcome = self._finishing.pop(scored.ticket)
        outcome.decodes, outcome.reward_calls = scored.decodes, len(scored.scores)
        outcome.seconds += scored.seconds
        outcome.scores, outcome.errors, outcome.features = scored.scores, scored.errors, scored.features
        outcome.image, outcome.image_sha256 = scored.image, scored.image_sha256
        return outcome


@torch.inference_mode()
def rows_are_independent(model: Model, batch: int, condition: int | str, device: str = "cpu") -> bool:
    """Whether a row's result is the same, bit for bit, at another position among other rows.

    All reproducible results rest on this, so engines check it when they start. For prompts, the rows beside it have one
    that is many times as long; otherwise networks that pad a batch to its longest prompt would pass.

    Raises:
        EngineError: the model's answer is not finite.
    """
    bank = NoiseBank(model.shape)
    calls = [calls_of(model, bank(Noise(k))) for k in range(batch)]
    x = torch.stack([row[0].x for row in calls]).to(device)
    conditions = _unlike(condition, batch)
    levels = torch.tensor([row[-(k % 2)].level for k, row in enumerate(calls)], dtype=torch.float64)
    together = model.denoise(x, levels, conditions)
    if not torch.isfinite(together).all():
        raise EngineError("the model answers with NaN or infinity; are its weights and precision right?")
    backwards = model.denoise(x.flip(0), levels.flip(0), conditions[::-1]).flip(0)
    alone = model.denoise(pad([x[-1]], batch), levels[-1].expand(batch), conditions[-1:] * batch)
    return bool(torch.equal(together, backwards) and torch.equal(together[-1], alone[0]))


def _unlike(condition: Condition, batch: int) -> list[Condition]:
    """One condition for each row: classes, or prompts that alternate between the given and a long one; the last row has
    the given one, and prompts alternate differently from levels."""
    if isinstance(condition, int):
        return [condition] * batch
    long = lengthened(condition)
    return [long if (place + 1) // 2 % 2 else condition for place in reversed(range(batch))]


def calls_of(model: Model, noise: Array) -> list[Call]:
    """The calls of a deterministic trajectory in which each prediction equals the state."""
    calls: list[Call] = []

    def answer(call: Call) -> Tensor:
        calls.append(call)
        return call.x

    drive(follow(model.sampler, torch.from_numpy(noise), [None] * model.sampler.plan.steps), answer)
    return calls


@torch.no_grad()
def flops_of(model: Model, condition: Condition, device: str = "cpu") -> float:
    """FLOPs of one denoiser forward of one image, two for a multiply-add, as torch counts them.

    Matrix products, convolutions and attention are counted; element-wise operations are not.
    """
    from tts.engine.flops import FlopCounter

    call = calls_of(model, NoiseBank(model.shape)(Noise(0)))[0]
    level = torch.tensor([call.level], dtype=torch.float64)
    with FlopCounter() as counter:
        model.denoise(call.x[None].to(device), level, [condition])
    return float(counter.total) / model.passes
