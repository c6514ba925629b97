"""The interface of every reward.

Rewards see the 8-bit image that a user would save, final or predicted in mid-trajectory, so that every
value in a table has one meaning. "Could not score" is the value None; it is counted and never turned into a number.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, cast

from tts.errors import EngineError
from tts.models.base import ModelSettings
from tts.plan import Condition
from tts.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor

Score: TypeAlias = float | None
LARGEST_SCORE = 1e100
"""A value beyond this, either way, counts as none: squares of values stay finite numbers."""
Caption: TypeAlias = Callable[[Condition], str]


class Reward(Protocol):
    """A loaded reward. A row's value must not depend on the rows beside it.

    Attributes:
        host: whether the CPU scores, from images in its memory; if not, the model's device does, in batches
            that the engine pads to one fixed size.

    A host reward runs in a thread of its own, one batch after another. It may also have these attributes:

    * ``divisible`` (bool): several threads may call it at once, each with a part of a batch.
    * ``concurrency`` (int): number of batches that it may score at once.
    * ``waits`` (bool): it may wait for a service that does not answer, until its method ``close()`` is called.
    """

    host: bool

    def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[Score]:
        """One value for each of ``[B, 3, H, W]`` uint8 images; higher is better."""
        ...


class LevelledReward(Protocol):
    """A :class:`Reward` that is also told how noisy each image's state still is."""

    host: bool
    levelled: Literal[True]

    def score(self, images: Tensor, conditions: Sequence[Condition], levels: Sequence[float]) -> list[Score]:
        """One value for each image.

        Args:
            images: ``[B, 3, H, W]`` uint8.
            conditions: class index or prompt of each image.
            levels: for each image, noise over signal (both as deviations) in the state from which it was predicted; 0
                for final images, NaN if the sampler does not tell.
        """
        ...


def score_at(
    reward: Reward | LevelledReward, images: Tensor, conditions: Sequence[Condition], levels: Sequence[float] = ()
) -> list[Score]:
    """Score images with a reward; a levelled reward also gets their noise levels.

    Raises:
        EngineError: the reward needs levels, and they are not known.
    """
    if not getattr(reward, "levelled", False):
        return cast(Reward, reward).score(images, conditions)
    if len(levels) != len(images):
        raise EngineError("it needs noise levels, which only the engine knows; take it out of scorers")
    return cast(LevelledReward, reward).score(images, conditions, levels)


class RewardSettings(Settings):
    """Settings of a reward. All methods but :meth:`load` work without torch."""

    def check(self) -> None:
        """Check all that can be checked before anything is started or written; raises a ``TTSError``."""

    def suits(self, model: ModelSettings) -> None:
        """Refuse a model whose images this reward cannot judge; raises a ``SettingError``."""

    def notes(self, conditions: Sequence[Condition], caption: Caption = str) -> list[str]:
        """Notes for the user before these conditions are scored, one line each; called after :meth:`check`."""
        return []

    def identity(self) -> dict[str, Any]:
        """Everything that changes the values, as plain JSON values."""
        return self.record()

    @abstractmethod
    def load(self, device: str = "cpu", caption: Caption = str) -> Reward:
        """The reward, ready to score.

        Args:
            device: where it computes, if it needs a device.
            caption: function from a condition to a text that describes its image: the model's
                :meth:`tts.models.base.ModelSettings.caption`.
        """


def reward_notes(
    rewards: Mapping[str, RewardSettings], conditions: Sequence[Condition], caption: Caption = str
) -> list[str]:
    """Notes of several rewards, each with its reward's name."""
    found = {name: reward.notes(conditions, caption) for name, reward in rewards.items()}
    return [f"reward {name}: {note}" for name, notes in found.items() for note in notes]
