"""An engine's view of rewards that scorers compute."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from bench.workers.scorers.judge import Answer, Images
from tts.errors import RewardError, TTSError
from tts.plan import Condition

if TYPE_CHECKING:
    from torch import Tensor

    from tts.rewards.base import Reward

AT_ONCE = 2
"""Batches that an engine may have at each scorer: one at work and one that waits."""

ATTEMPTS = 4
"""Scorers that may be lost over one batch, one after another, before its images are said to be the reason."""


class ScorerPool(Protocol):
    """Scorers of some rewards.

    Attributes:
        rewards: names of those that it computes.
        count: how many scorers there are.
    """

    rewards: Sequence[str]
    count: int

    def ask(self, name: str, images: Images, conditions: Sequence[Condition]) -> list[Answer]:
        """Answers, in the order of the images; several threads may ask.

        Raises:
            EngineError: they cannot be had.
        """
        ...

    def close(self) -> None:
        """Let the scorers go."""
        ...


class PooledReward:
    """Hands images to scorers, and waits for their scores in a lane of its own.

    Attributes:
        waits: for a process that may be busy or be started again; that is no sign of a broken device.
        concurrency: calls of :meth:`score` that the engine may have under way.
    """

    host, waits = True, True

    def __init__(self, name: str, pool: ScorerPool) -> None:
        self.name, self.pool, self.concurrency = name, pool, AT_ONCE * pool.count

    def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[float | None]:
        """The scores that the pool returns, in the order of the images.

        Raises:
            RewardError: it has none, or one could not be had.
        """
        try:
            answers = self.pool.ask(self.name, images.numpy(), list(conditions))
        except TTSError as error:  # of a kind that no engine takes for a failure of its own device
            raise RewardError(f"reward {self.name} failed: {error}") from None
        for answer in answers:
            if answer.error is not None:
                raise RewardError(answer.error)
        return [answer.score for answer in answers]


def with_scorers(names: Sequence[str], load: Callable[[str], Reward], pool: ScorerPool | None) -> dict[str, Reward]:
    """Rewards by name, in this order: those of scorers by their pool, others loaded here."""
    theirs = () if pool is None else pool.rewards
    return {name: PooledReward(name, pool) if pool and name in theirs else load(name) for name in names}
