"""The rows of an engine: which of them a pass takes, and where each stands."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tts.engine.noise_supply import Noises
from tts.engine.requests import EvalRequest
from tts.engine.routes import Routes, first_noises
from tts.engine.running import Group, Row, begun, land, rows_at_once
from tts.engine.state_pool import StatePool, States
from tts.plan import Condition
from tts.samplers.base import Sampler
from tts.search.segment import State


class Pass(NamedTuple):
    """What a denoiser is asked, ``[batch, ...]``; behind the rows the first one is repeated."""

    x: Tensor
    levels: Tensor
    conditions: list[Condition]


class Rows:
    """Jobs on their way through transitions; a transition that has begun goes on in every pass until it ends.

    Args:
        sampler: whose transitions.
        shape: of a state.
        batch: rows of a pass.
        device: where states are.
        noises: makes them; it is told of those that will be needed.
    """

    def __init__(
        self,
        sampler: Sampler,
        shape: tuple[int, ...],
        batch: int,
        device: str,
        noises: Noises,
    ) -> None:
        self.batch, self.shape, self._noises = batch, shape, noises
        self.pool = StatePool(shape, device)
        self.states = States(self.pool)
        self._routes, self._largest = Routes(sampler), rows_at_once(shape, device)
        self._queue: deque[EvalRequest] = deque()
        self._between: list[Row] = []  # rows at the end of one transition and before the next
        self._groups: list[Group] = []  # rows amid a transition

    def submit(self, jobs: Iterable[EvalRequest]) -> None:
        """Queue jobs."""
        for job in jobs:
            self._queue.append(job)
            self._noises.later(first_noises(job.segment))

    @property
    def open(self) -> int:
        """Jobs that are not done."""
        return len(self._queue) + len(self._between) + self.at_work

    @property
    def at_work(self) -> int:
        """Rows that wait for the denoiser."""
        return sum(len(group.rows) for group in self._groups)

    def fill(self) -> list[Row]:
        """Begin transitions until the batch is full; returns the rows that end without the denoiser."""
        done, room = list[Row](), self.batch - self.at_work
        while room and (rows := self._next(room)):
            while rows:
                going = [row for row in rows if row.at < len(row.legs)]
                if len(going) < len(rows):
                    done += [row for row in rows if row.ended]
                self._noises.soon(noise for row in going for noise in row.coming())
                groups = list(begun(self._noises.tensor, self.pool, going, self._largest))
                self._groups += [group for group in groups if group.end is None]
                rows = self._land(group for group in groups if group.end is not None)
            room = self.batch - self.at_work
        return done

    def _next(self, room: int) -> list[Row]:
        """Rows whose next transitions begin now: those that are on their way, then new ones."""
        taken, self._between = self._between[:room], self._between[room:]
        while len(taken) < room and self._queue:
            taken.append(self._row(self._queue.popleft()))
        return taken

    def _row(self, job: EvalRequest) -> Row:
        start = job.segment.start
        slot = self.pool.hold(self.states.slot(start.key)) if isinstance(start, State) else None
        row = Row(job, self._routes.of(job.segment), slot)
        if slot is not None and not row.kept:
            row.state = self.pool.hold(slot)
        return row

    def asked(self) -> Pass:
        """The calls of all rows at work."""
        padding, first = self.batch - self.at_work, self._groups[0]
        states = [group.x for group in self._groups]
        if padding:
            states.append(first.x[:1].expand(padding, *self.shape))
        levels = np.concatenate([*(group.levels for group in self._groups), first.levels[:1].repeat(padding)])
        conditions = list(chain.from_iterable(group.conditions for group in self._groups))
        return Pass(torch.cat(states), torch.from_numpy(levels), conditions + conditions[:1] * padding)

    def answer(self, answers: Tensor) -> None:
        """Take all rows at work to their next calls, or to the ends of their transitions."""
        answered = torch.split(answers[: self.at_work], [len(group.rows) for group in self._groups])
        for group, answer in zip(self._groups, answered, strict=True):
            group.send(answer)

    def charge(self, seconds: float) -> None:
        """Charge every row at work."""
        for group in self._groups:
            group.seconds += seconds

    def settle(self) -> list[Row]:
        """Let go of transitions that have ended; returns the rows that have no more."""
        ended = [group for group in self._groups if group.end is not None]
        if not ended:
            return []
        self._groups = [group for group in self._groups if group.end is None]
        rows = self._land(ended)
        self._between = [row for row in rows if not row.ended] + self._between
        return [row for row in rows if row.ended]

    def _land(self, groups: Iterable[Group]) -> list[Row]:
        return [row for group in groups for row in land(group, self.pool)]

    def clean(self, rows: Sequence[Row]) -> Sequence[Tensor]:
        """The clean states that are predicted where rows have ended."""
        return self.pool.clean([row.slot for row in rows if row.slot is not None]) if rows else ()

    def keep(self, row: Row) -> None:
        """Keep the state to which a job's actions led, under its ticket."""
        assert row.slot is not None  # an ended row has a position
        assert row.state is not None  # and has passed the one that is kept
        self.pool.drop(row.slot)
        self.states.keep(row.job.ticket, row.state)
