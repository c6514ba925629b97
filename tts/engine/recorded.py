"""An engine that computes nothing, but looks rewards up in a table. It needs no torch."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from tts.engine.requests import EngineCounters, EvalRequest, EvalResult
from tts.noise import Noise, derive_seed
from tts.recipe import Action, Back
from tts.search.segment import ALL, Segment, State
from tts.tables.table import RewardTable

BATCH = 256
"""Number of requests that are answered at a time."""


@dataclass(frozen=True, slots=True)
class Spot:
    """A state: steps done on a trajectory of the table, or the reason why it is on none."""

    problem: int
    candidate: int
    step: int
    fault: str | None = None


class RecordedEngine:
    """The interface of :class:`tts.engine.batching.Engine` for trajectories of a table.

    A state that is on none of them is not an error; scoring it is one, which the result names.

    Args:
        table: the recorded trajectories.
        rewards: names of the rewards that score finished trajectories.
    """

    device = "table"
    free_rows = 0  # answers never wait for a pass

    def __init__(self, table: RewardTable, rewards: Iterable[str]) -> None:
        self.table, self.rewards, self.batch = table, tuple(rewards), BATCH
        self.load = EngineCounters()
        self._plan, self._starts = table.plan, table.starts()
        self._spots: dict[int, Spot] = {}
        self._queue: deque[EvalRequest] = deque()

    @property
    def flops(self) -> float | None:
        """FLOPs of one forward of the recorded model."""
        return self.table.header.flops

    @property
    def busy(self) -> bool:
        """Whether :meth:`advance` has anything to do."""
        return bool(self._queue)

    def submit(self, jobs: Iterable[EvalRequest]) -> None:
        """Queue jobs."""
        self._queue.extend(jobs)

    def release(self, keys: Iterable[int]) -> None:
        """Forget states."""
        for key in keys:
            self._spots.pop(key, None)

    def advance(self) -> list[EvalResult]:
        """Answer what is queued, up to a batch."""
        return [self._answer(self._queue.popleft()) for _ in range(min(BATCH, len(self._queue)))]

    def close(self) -> None:
        """Do nothing: there are no threads."""

    def _answer(self, job: EvalRequest) -> EvalResult:
        segment, plan = job.segment, self._plan
        spot = self._spots[job.ticket] = self._led(segment)
        begun = segment.start.step if isinstance(segment.start, State) else None
        nfe = plan.spent(begun, segment.noises) + plan.nfe_ahead(segment.stop, segment.ahead)
        self.load.batches += nfe > 0
        self.load.rows += nfe
        found = EvalResult(job.ticket, nfe=nfe)
        names = self.rewards if ALL in job.wants else job.wants
        for name in names:
            self._score(found, spot, name, segment)
        if names:
            found.decodes, found.reward_calls = 1, len(names)
        if ALL in job.wants and spot.fault is None:
            found.image_sha256 = self.table.images[spot.problem, spot.candidate]
        return found

    def _led(self, segment: Segment) -> Spot:
        """The state to which a segment leads."""
        start = segment.start
        spot = self._spots[start.key] if isinstance(start, State) else self._begun(segment, start)
        for action in segment.noises:
            if spot.fault is not None:
                return spot
            spot = self._after(spot, action)
        return spot

    def _begun(self, segment: Segment, noise: Noise) -> Spot:
        place = None if noise.moves else self._starts.get((segment.condition, noise.seed))
        if place is None:
            moved = "a moved initial noise" if noise.moves else f"the initial noise of seed {noise.seed}"
            return Spot(0, 0, 0, f"{segment.condition!r} from {moved}")
        return Spot(*place, 0)

    def _after(self, spot: Spot, action: Action) -> Spot:
        """The state after an action, which must be the recorded one."""
        problem = self.table.problems[spot.problem]
        seed = derive_seed(problem.problem_seed, "noise", spot.step, spot.candidate, 0)
        recorded = Noise(seed) if self._plan.injects[spot.step] else None
        if action == recorded:
            return Spot(spot.problem, spot.candidate, spot.step + 1)
        what = "a way back" if isinstance(action, Back) else "no noise" if action is None else "another noise"
        return Spot(
            spot.problem,
            spot.candidate,
            spot.step,
            f"{problem.label!r}, seed {problem.seed}, candidate {spot.candidate}: {what} at step {spot.step}",
        )

    def _score(self, found: EvalResult, spot: Spot, name: str, segment: Segment) -> None:
        """Add a reward of the state to which a segment leads, or the reason why the table does not know it."""
        asked, steps = spot.fault, self._plan.steps
        if asked is None and segment.ahead and spot.step < steps:
            asked = f"a look {segment.ahead} steps ahead of step {spot.step}"
        elif asked is None and spot.step < steps and not self.table.header.rewards[name].predicted:
            asked = f"the image predicted after step {spot.step}, by a reward that was held out"
        elif asked is None and not spot.step and not self._plan.predicts(()):
            asked = "the image of an initial noise"
        if asked is not None:
            found.errors[name] = (
                f"model table: {name} was asked for where it was not recorded ({asked}); the table has "
                f"{self.table.header.candidates} trajectories a problem, each with noises of its own: take fewer "
                "candidates, a search that leaves none of them, or the model itself"
            )
            return
        value = float(self.table.values[name][spot.problem, spot.candidate, spot.step])
        found.scores[name] = None if np.isnan(value) else value
