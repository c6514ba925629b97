"""The rows of an engine: which of them a pass takes, and where each stands."""

from __future__ import annotations

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
from tts.engine.turns import Turns
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
        self._still: list[Row] = []  # rows that go nowhere
        self._turns = Turns[Row](batch)  # rows before their first transition, and between two
        self._groups: list[Group] = []  # rows amid a transition
        self._arrived, self._left = 0, 0  # rows so far; lengths of those on their way

    def submit(self, jobs: Iterable[EvalRequest]) -> None:
        """Queue jobs; the states that they start from must be there."""
        rows = [self._row(job) for job in jobs]
        self._still += [row for row in rows if row.ended]
        going = [row for row in rows if not row.ended]
        self._left += sum(row.length for row in going)
        self._turns.add(going)
        for row in rows:
            self._noises.later(first_noises(row.job.segment))

    @property
    def open(self) -> int:
        """Jobs that are not done."""
        return len(self._still) + len(self._turns) + self.at_work

    @property
    def at_work(self) -> int:
        """Rows that wait for the denoiser."""
        return sum(len(group.rows) for group in self._groups)

    def fill(self) -> list[Row]:
        """Begin transitions until the batch is full; returns the rows that end without the denoiser."""
        done, self._still = self._still, []
        while (room := self.batch - self.at_work) and (rows := self._turns.take(room, self._left)):
            while rows:
                self._noises.soon(noise for row in rows for noise in row.coming())
                groups = list(begun(self._noises.tensor, self.pool, rows, self._largest))
                self._groups += [group for group in groups if group.end is None]
                landed = self._land(group for group in groups if group.end is not None)
                done += [row for row in landed if row.ended]
                rows = [row for row in landed if not row.ended]
        self.pool.settle()
        return done

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
        self._turns.add(row for row in rows if not row.ended)
        return [row for row in rows if row.ended]

    def _land(self, groups: Iterable[Group]) -> list[Row]:
        rows = [row for group in groups for row in land(group, self.pool)]
        self._left -= len(rows) + sum(row.length for row in rows if row.ended)
        return rows

    def clean(self, rows: Sequence[Row]) -> Sequence[Tensor]:
        """The clean states that are predicted where rows have ended."""
        return self.pool.clean([row.slot for row in rows if row.slot is not None]) if rows else ()

    def keep(self, row: Row) -> None:
        """Keep the state to which a job's actions led, under its ticket."""
        assert row.slot is not None  # an ended row has a position
        assert row.state is not None  # and has passed the one that is kept
        self.pool.drop(row.slot)
        self.states.keep(row.job.ticket, row.state)
