"""Continuous batching on one device.

An engine holds segments of many problems, searches, budgets and steps, and at each iteration advances as many of
them as fit into one forward pass. The batch has one fixed, padded shape, so that a row's result does not depend on
its neighbours and kernels never change under load. States stay on the device; searches hold handles.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tts.engine.device_errors import named
from tts.engine.device_queue import DeviceQueue, queue_of, upload
from tts.engine.requests import EngineCounters, EvalRequest, EvalResult
from tts.engine.routes import Routes
from tts.engine.running import Group, Row, land, rows_at_once, start
from tts.engine.scoring import Scorer, ScoreRequest, ScoreResult, ask, pad, padded
from tts.engine.state_pool import StatePool, States
from tts.errors import EngineError
from tts.metrics.base import Metric
from tts.models.base import Model
from tts.noise import Array, Noise, NoiseBank
from tts.plan import Condition
from tts.prompts import lengthened
from tts.rewards.base import Reward
from tts.samplers.base import Call, drive, follow
from tts.search.segment import State


class Engine:
    """Evaluates segments on one device.

    Args:
        model: the denoiser.
        rewards, metrics: by the names that segments use; by extractor, of final images.
        batch: rows of every forward pass.
        score_batch: images decoded and scored at once; None: as many.
        reward_device: where device rewards are; None: where the model is.
        stream: the device's queue; left out: as the device needs it.
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
    ) -> None:
        self.model, self.rewards, self.batch, self.device = model, dict(rewards), batch, device
        self.flops: float | None = None  # of one forward of one image; whoever counts them sets it
        self.load = EngineCounters()
        self._pool = StatePool(model.shape, device)
        self.states = States(self._pool)
        self._stream = stream or queue_of(device)
        self._queued: deque[tuple[Any, Any]] = deque()  # where batches begin and end that are not awaited yet
        self._pass_seconds = 0.0
        self._noise = NoiseBank(model.shape)
        self._scorer = Scorer(model, rewards, score_batch or batch, reward_device, self.load, self._stream, metrics)
        self._queue: deque[EvalRequest] = deque()
        self._routes, self._largest = Routes(model.sampler), rows_at_once(model.shape, device)
        self._groups: list[Group] = []  # rows amid a transition
        self._between: list[Row] = []  # rows that have begun, at the end of one transition and before the next
        self._finishing: dict[int, EvalResult] = {}

    def submit(self, jobs: Iterable[EvalRequest]) -> None:
        """Queue jobs. A job whose segment starts from a state needs it in :attr:`states`."""
        self._queue.extend(jobs)

    def release(self, keys: Iterable[int]) -> None:
        """Forget states that no handle refers to any more."""
        for key in keys:
            self.states.release(key)

    @property
    def free_rows(self) -> int:
        """Rows that the next forward pass has to spare."""
        return max(0, self.batch - self._at_work - len(self._between) - len(self._queue))

    @property
    def busy(self) -> bool:
        """Whether :meth:`advance` has anything to do."""
        return bool(self._queue or self._between or self._groups or self._scorer.busy)

    @property
    def _at_work(self) -> int:
        return sum(len(group.rows) for group in self._groups)

    def advance(self) -> list[EvalResult]:
        """One forward pass, and the rewards that are due; returns the jobs that are done by now.

        Raises:
            DeviceError: the device failed, or its memory is too small for the batch.
        """
        with named(self.batch):
            return self._advance()

    @torch.inference_mode()
    def _advance(self) -> list[EvalResult]:
        done = self._fill()
        if self._groups:
            self._forward()
            done += self._settle()
        starved = self.free_rows > 0
        self._scorer.flush(partial=starved)
        idle = not (self._groups or self._between or self._queue)
        start = time.perf_counter()
        scored = self._scorer.collect(wait=idle and not done)
        self.load.idle += time.perf_counter() - start
        return done + [self._finish(each) for each in scored]

    def close(self) -> None:
        """End the engine's thread."""
        self._scorer.close()

    def _fill(self) -> list[EvalResult]:
        """Begin transitions until the batch is full; those that need no denoiser are done at once."""
        done, room = list[EvalResult](), self.batch - self._at_work
        while room and (rows := self._next(room)):
            ended = [row for row in rows if row.ended]
            while begun := [row for row in rows if not row.ended]:
                groups = list(start(self._noises, self._pool, begun, self._largest))
                self._groups += [group for group in groups if group.end is None]
                rows = self._landed([group for group in groups if group.end is not None])
                ended += [row for row in rows if row.ended]
            done += self._retire(ended)
            room = self.batch - self._at_work
        return done

    def _next(self, room: int) -> list[Row]:
        """Rows whose next transitions begin now: those that have begun, then new ones."""
        taken, self._between = self._between[:room], self._between[room:]
        while len(taken) < room and self._queue:
            taken.append(self._row(self._queue.popleft()))
        return taken

    def _row(self, job: EvalRequest) -> Row:
        start = job.segment.start
        slot = self._pool.hold(self.states.slot(start.key)) if isinstance(start, State) else None
        row = Row(job, self._routes.of(job.segment), slot)
        if slot is not None and not row.kept:
            row.state = self._pool.hold(slot)
        return row

    def _noises(self, noises: Sequence[Noise]) -> Tensor:
        start = time.perf_counter()
        tensor = upload(torch.from_numpy(np.concatenate([self._made(noise)[None] for noise in noises])), self.device)
        self.load.noise += time.perf_counter() - start
        return tensor

    def _made(self, noise: Noise) -> Array:
        try:
            return self._noise(noise)
        except ValueError as error:  # a move of another shape
            raise EngineError(
                f"{error}; set the search's shape to [{', '.join(map(str, self.model.shape))}], and its level to fit it"
            ) from None

    def _forward(self) -> None:
        while len(self._queued) > self._stream.ahead:
            self._await_batch()
        begin, groups, rows = self._stream.mark(), self._groups, self._at_work
        padding, first = self.batch - rows, groups[0]
        states = [group.x for group in groups] + [first.x[:1].expand(padding, *self.model.shape)] * (padding > 0)
        levels = np.concatenate([*(group.levels for group in groups), first.levels[:1].repeat(padding)])
        conditions = [condition for group in groups for condition in group.conditions]
        conditions += [conditions[0]] * padding
        answers = self.model.denoise(torch.cat(states), torch.from_numpy(levels), conditions)
        answered = answers[:rows].split([len(group.rows) for group in groups])  # the padding's answers are dropped
        for group, answer in zip(groups, answered, strict=True):
            group.send(answer)
        self._queued.append((begin, self._stream.mark()))
        if not self._stream.ahead or not self._pass_seconds:
            self._await_batch()
        self._account(rows)

    def _await_batch(self) -> None:
        """Wait for the oldest batch on the device, and measure it."""
        begin, end = self._queued.popleft()
        self._stream.wait(end)
        self._pass_seconds = self._stream.seconds(begin, end)
        self.load.seconds += self._pass_seconds

    def _account(self, rows: int) -> None:
        """Charge the batch to its rows: its time, or the last one's if it is still on the device."""
        for group in self._groups:
            group.seconds += self._pass_seconds / rows
        self.load.batches += 1
        self.load.rows += rows

    def _settle(self) -> list[EvalResult]:
        """Take the rows whose transitions have ended out of their groups, and those of jobs that have."""
        ended = [group for group in self._groups if group.end is not None]
        self._groups = [group for group in self._groups if group.end is None]
        rows = self._landed(ended)
        self._between = [row for row in rows if not row.ended] + self._between
        return self._retire([row for row in rows if row.ended])

    def _landed(self, groups: Iterable[Group]) -> list[Row]:
        for group in (groups := list(groups)):
            land(group, self._pool)
        return [row for group in groups for row in group.rows]

    def _retire(self, ended: Sequence[Row]) -> list[EvalResult]:
        """Keep the states of jobs that have taken their last step; returns those for which nothing is left to do."""
        scored = [row for row in ended if row.job.wants]
        for row, clean in zip(scored, self._clean(scored), strict=True):
            self._finishing[row.job.ticket] = row.outcome(self.model.passes)
            segment = row.job.segment
            preview = self.model.previews and segment.stop < self.model.sampler.plan.steps
            self._scorer.add(ScoreRequest(row.job.ticket, clean, segment.condition, row.job.wants, preview))
        for row in ended:
            assert row.slot is not None  # an ended row has a position
            assert row.state is not None  # and has passed the one that is kept
            self._pool.drop(row.slot)
            self.states.keep(row.job.ticket, row.state)
        return [row.outcome(self.model.passes) for row in ended if not row.job.wants]

    def _clean(self, rows: Sequence[Row]) -> Sequence[Tensor]:
        return self._pool.clean([row.slot for row in rows if row.slot is not None]) if rows else ()

    def _finish(self, scored: ScoreResult) -> EvalResult:
        outcome = self._finishing.pop(scored.ticket)
        outcome.decodes, outcome.reward_calls = 1, len(scored.scores)
        outcome.seconds += scored.seconds
        outcome.scores, outcome.errors, outcome.features = scored.scores, scored.errors, scored.features
        outcome.image, outcome.image_sha256 = scored.image, scored.image_sha256
        return outcome


@torch.inference_mode()
def rows_are_independent(model: Model, batch: int, condition: int | str, device: str = "cpu") -> bool:
    """Whether a row's result is the same, bit for bit, at another place among other rows.

    Every promise of reproducible results rests on this; engines check it when they start. Where conditions are prompts
    the rows beside it have another one, many times as long: networks that pad a batch to its longest prompt would pass
    else.

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
    """A class for every row; of a prompt also a long one, in another turn than levels, the last row's the short one."""
    if isinstance(condition, int):
        return [condition] * batch
    long = lengthened(condition)
    return [long if (place + 1) // 2 % 2 else condition for place in reversed(range(batch))]


@torch.inference_mode()
def first_dependent_score(
    model: Model,
    rewards: Mapping[str, Reward],
    batch: int,
    condition: int | str,
    device: str = "cpu",
    reward_device: str | None = None,
) -> str | None:
    """Which of the decoder and the rewards gives an image another value at another place among other rows.

    Returns:
        A word on the first one; None when there is none.
    """
    bank, conditions = NoiseBank(model.shape), [condition] * batch
    clean = torch.stack([torch.from_numpy(bank(Noise(k))) for k in range(batch)]).to(device)
    for preview in {False, model.previews}:
        images = model.decode(clean, preview)
        if not torch.equal(model.decode(clean.flip(0), preview).flip(0), images):
            return "the decoder of previews" if preview else "the decoder"
    for name, reward in rewards.items():
        given = images.cpu() if reward.host else images.to(reward_device or device)
        if ask(name, reward, given.flip(0), conditions)[::-1] != ask(name, reward, given, conditions):
            return f"reward {name}"
    return None


def calls_of(model: Model, noise: Array) -> list[Call]:
    """The calls of a deterministic trajectory whose every prediction is its state."""
    calls: list[Call] = []

    def answer(call: Call) -> Tensor:
        calls.append(call)
        return call.x

    drive(follow(model.sampler, torch.from_numpy(noise), [None] * model.sampler.plan.steps), answer)
    return calls


@torch.no_grad()
def flops_of(model: Model, condition: Condition, device: str = "cpu") -> float:
    """FLOPs of one denoiser forward of one image, two for a multiply-add, as torch counts them.

    Matrix products, convolutions and attention are counted; what is done element by element is not.
    """
    from tts.engine.flops import FlopCounter

    call = calls_of(model, NoiseBank(model.shape)(Noise(0)))[0]
    level = torch.tensor([call.level], dtype=torch.float64)
    with FlopCounter() as counter:
        model.denoise(call.x[None].to(device), level, [condition])
    return float(counter.total) / model.passes
