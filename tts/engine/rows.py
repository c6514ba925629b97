"""The rows of an engine: which of them a pass takes, and where each stands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from heapq import nsmallest
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tts.engine.requests import EvalRequest
from tts.engine.routes import Routes
from tts.engine.running import Group, Row, begun, land, rows_at_once
from tts.engine.state_pool import StatePool, States
from tts.noise import Noise
from tts.plan import Condition
from tts.samplers.base import Sampler
from tts.search.segment import State


MANY = 2
"""Batches of open rows, from which on those that began first go first."""


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
        make: tensors of noises, ``[k, *shape]``.
    """

    def __init__(
        self,
        sampler: Sampler,
        shape: tuple[int, ...],
        batch: int,
        device: str,
        make: Callable[[Sequence[Noise]], Tensor],
    ) -> None:
        self.batch, self.shape, self._make = batch, shape, make
        self.pool = StatePool(shape, device)
        self.states = States(self.pool)
        self._routes, self._largest = Routes(sampler), rows_at_once(shape, device)
        self._waiting: list[Row] = []  # before their first transition, and between two
        self._groups: list[Group] = []  # amid a transition
        self._arrived = 0

    def submit(self, jobs: Iterable[EvalRequest]) -> None:
        """Queue jobs; the states that they start from must be there."""
        self._waiting += [self._row(job) for job in jobs]

    @property
    def open(self) -> int:
        """Jobs that are not done."""
        return len(self._waiting) + self.at_work

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
                groups = list(begun(self._make, self.pool, going, self._largest))
                self._groups += [group for group in groups if group.end is None]
                rows = self._land(group for group in groups if group.end is not None)
            room = self.batch - self.at_work
        return done

    def _next(self, room: int) -> list[Row]:
        """Rows whose next transitions begin now.

        Where many wait, the lowest rank goes first and then the longest here: what has begun ends soon, and while it
        does there are enough others to fill the batch. Where there are few, all go on in turn and end together; else
        the last of them would run alone, in passes of mostly padding.
        """
        if self.open < MANY * self.batch:
            taken, self._waiting = self._waiting[:room], self._waiting[room:]
            return taken
        taken = nsmallest(room, self._waiting, key=lambda row: (row.job.rank, row.arrival))
        chosen = {row.arrival for row in taken}
        self._waiting = [row for row in self._waiting if row.arrival not in chosen]
        return taken

    def _row(self, job: EvalRequest) -> Row:
        start = job.segment.start
        slot = self.pool.hold(self.states.slot(start.key)) if isinstance(start, State) else None
        self._arrived += 1
        row = Row(job, self._routes.of(job.segment), slot, self._arrived)
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
        self._waiting += [row for row in rows if not row.ended]
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
