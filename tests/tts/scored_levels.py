"""A reward that reads one pixel, states whose pixels all equal their ticket, and scores of such states."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import torch
from torch import Tensor

from tts.engine.score_requests import ScoreRequest, ScoreResult
from tts.engine.scoring import Scorer
from tts.plan import Condition
from tts.testing.toy_model import ToyModel


class Level:
    """A reward that reads the first pixel, and remembers the batches that it got."""

    def __init__(self, host: bool) -> None:
        self.host = host
        self.threads: list[str] = []
        self.batches: list[int] = []

    def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[float | None]:
        self.threads.append(threading.current_thread().name)
        self.batches.append(len(images))
        return [1000.0 * int(c) + int(image[0, 0, 0]) for image, c in zip(images, conditions, strict=True)]


def wanted(ticket: int, reward: str, condition: int = 0) -> ScoreRequest:
    """A request for a state whose decoded pixels all equal the ticket."""
    return ScoreRequest(ticket, torch.full((3, 8, 8), ticket / 127.5 - 1), condition, (reward,))


def scored(scorer: Scorer, asked: list[ScoreRequest]) -> dict[int, ScoreResult]:
    """Scores of requests; then the scorer is closed."""
    found = scored_by(scorer, asked)
    scorer.close()
    return found


class Counting(ToyModel):
    """Remembers the number of images in each decoded batch."""

    def __init__(self) -> None:
        super().__init__(shape=(3, 8, 8))
        self.decoded = list[int]()

    def decode(self, x: Tensor, preview: bool = False) -> Tensor:
        self.decoded.append(len(x))
        return super().decode(x, preview)


def scored_by(scorer: Scorer, asked: list[ScoreRequest]) -> dict[int, ScoreResult]:
    """Scores of requests; the scorer stays open."""
    for want in asked:
        scorer.add(want)
    done: list[ScoreResult] = []
    while scorer.busy:
        scorer.flush(partial=True)
        done += scorer.collect(wait=True)
    return {score.ticket: score for score in done}
