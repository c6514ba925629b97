"""The trace of a trial: what each of its evaluations was, how it was scored, and whether the search went on from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tts.noise import Noise
from tts.recipe import Action, Back, to_record
from tts.search.segment import Evaluation, Segment, State


class Trace:
    """Records a trial's evaluations."""

    def __init__(self, trial: str) -> None:
        self._trial = trial
        self._rows: list[dict[str, Any]] = []
        self._by_state: dict[int, int] = {}
        self._round, self._nfe, self._best = 0, 0, -float("inf")

    def add(self, segments: Sequence[Segment], evaluations: Sequence[Evaluation]) -> None:
        """Record the evaluations of a list of segments."""
        for candidate, (segment, evaluation) in enumerate(zip(segments, evaluations, strict=True)):
            if isinstance(segment.start, State) and len(segment.start.noises) > 1:
                self.choose(segment)
            self._nfe += evaluation.nfe
            self._best = max(self._best, evaluation.value)
            action = _noise(segment)
            self._by_state[evaluation.state.key] = len(self._rows)
            self._rows.append(
                {
                    "trial": self._trial,
                    "round": self._round,
                    "candidate": candidate,
                    "first": segment.first,
                    "stop": segment.stop,
                    "kind": _kind(action),
                    "noise": to_record(action),
                    "reward": evaluation.reward,
                    "chosen": False,
                    "best": None if self._best == -float("inf") else self._best,
                    "nfe": evaluation.nfe,
                    "nfe_so_far": self._nfe,
                }
            )
        self._round += 1

    def choose(self, segment: Segment) -> None:
        """Record that a segment goes on from a state; the last one of a trial goes on from its result."""
        key = getattr(segment.start, "key", None)
        if key in self._by_state:
            self._rows[self._by_state[key]]["chosen"] = True

    def rows(self) -> list[dict[str, Any]]:
        """All rows, with the columns of :data:`bench.store.schema.TRACE`."""
        return self._rows


def _noise(segment: Segment) -> Action:
    """What a candidate tries: a moved initial noise, as its steps' noises are others' as well; else its first action
    with a noise.
    """
    if isinstance(segment.start, Noise) and segment.start.moves:
        return segment.start
    return next((action for action in segment.noises if action is not None), None)


def _kind(action: Action) -> str:
    if action is None:
        return "none"
    if isinstance(action, Back):
        return "back"
    return "local" if action.moves else "global"
