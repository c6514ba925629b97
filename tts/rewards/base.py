"""The interface of every reward.

Rewards see the 8-bit image that a user would save, whether it is final or predicted in mid-trajectory, so that every
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
Caption: TypeAlias = Callable[[Condition], str]


class Reward(Protocol):
    """A loaded reward. A row's value must not depend on the rows beside it.

    Attributes:
        host: scored by the CPU beside the device, from images in its memory; else on the model's device, in batches
            that the engine pads to one fixed size.

    A reward of the host is asked in a thread of its own, one batch after another. Some attributes are looked for
    besides: ``divisible`` (bool), that several threads may ask it at once, each for a part of a batch; ``concurrency``
    (int), for how many batches it may be asked at once; ``waits`` (bool), that it may wait for something that is away,
    until ``close()`` is called, if there is such a method.
    """

    host: bool

    def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[Score]:
        """One value for each of ``[B, 3, H, W]`` uint8 images; higher is better."""
        ...


class LevelledReward(Protocol):
    """A loaded reward that is told how noisy each image's state still is; else as :class:`Reward`."""

    host: bool
    levelled: Literal[True]

    def score(self, images: Tensor, conditions: Sequence[Condition], levels: Sequence[float]) -> list[Score]:
        """One value for each image.

        Args:
            levels: standard deviation of the noise over that of the signal, in the state whose image was predicted; 0
                for final images, NaN where the sampler does not tell.
        """
        ...


def score_at(
    reward: Reward | LevelledReward, images: Tensor, conditions: Sequence[Condition], levels: Sequence[float] = ()
) -> list[Score]:
    """What a reward says of images, told their levels if it asks for them.

    Raises:
        EngineError: it asks for levels, and they are not known.
    """
    if not getattr(reward, "levelled", False):
        return cast(Reward, reward).score(images, conditions)
    if len(levels) != len(images):
        raise EngineError("it needs noise levels, which only rewards beside the model are told; take it out of scorers")
    return cast(LevelledReward, reward).score(images, conditions, levels)


class RewardSettings(Settings):
    """What a configuration says of a reward. Everything but :meth:`load` works without torch."""

    def check(self) -> None:
        """Find what can be wrong before anything is started or written; raises a ``TTSError``."""

    def suits(self, model: ModelSettings) -> None:
        """Refuse a model whose images this reward cannot judge; raises a ``SettingError``."""

    def notes(self, conditions: Sequence[Condition], caption: Caption = str) -> list[str]:
        """What a user should know before some conditions are scored, a line each; asked after :meth:`check`."""
        return []

    def identity(self) -> dict[str, Any]:
        """All that changes the values, as plain JSON values."""
        return self.record()

    @abstractmethod
    def load(self, device: str = "cpu", caption: Caption = str) -> Reward:
        """The reward, ready to score.

        Args:
            device: where it computes, if it needs a device.
            caption: a condition as a text that describes its image; the model's own
                (:meth:`tts.models.base.ModelSettings.caption`).
        """


def reward_notes(
    rewards: Mapping[str, RewardSettings], conditions: Sequence[Condition], caption: Caption = str
) -> list[str]:
    """The notes of several rewards, each with the name of its own."""
    found = {name: reward.notes(conditions, caption) for name, reward in rewards.items()}
    return [f"reward {name}: {note}" for name, notes in found.items() for note in notes]
