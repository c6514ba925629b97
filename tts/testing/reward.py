"""What every reward must keep to."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from tts.engine.small_batches import REMEDY, small_batches
from tts.plan import Condition
from tts.rewards.base import Reward, RewardSettings, Score, score_at
from tts.settings import parse
from tts.testing.requirement import fail, plain, refuses_unknown_keys, require, round_trip

if TYPE_CHECKING:
    from torch import Tensor


class RewardConformance:
    """Checks of a reward on random images.

    Attributes:
        size: height and width of the images.
        given: conditions of the images, class indices or prompts, used in turn.
    """

    size: ClassVar[int] = 32
    given: Sequence[Condition] = (0, 1, 2, 3, 4, 5)
    _loaded: ClassVar[list[tuple[RewardSettings, Reward]]] = []

    def load(self, reward: RewardSettings) -> Reward:
        """The reward, ready; the last one is kept for the next check."""
        if not self._loaded or self._loaded[0][0] is not reward:
            self._loaded[:] = [(reward, reward.load("cpu", lambda condition: f"a photo of {condition}"))]
        return self._loaded[0][1]

    def images(self, count: int, seed: int = 0) -> Tensor:
        """Random images, smooth, black and white ones among them, ``[count, 3, size, size]`` uint8."""
        import torch

        draw = torch.Generator().manual_seed(seed)
        images = torch.randint(0, 256, (count, 3, self.size, self.size), generator=draw, dtype=torch.uint8)
        images[1:2] = torch.arange(self.size, dtype=torch.uint8).view(1, 1, -1)
        images[2:3], images[3:4] = 0, 255
        return images

    def conditions(self, count: int) -> list[Condition]:
        """As many conditions."""
        return [self.given[k % len(self.given)] for k in range(count)]

    def test_settings(self, reward: RewardSettings) -> None:
        """Its settings can be written to a configuration and read again; others are refused."""
        round_trip(reward)
        refuses_unknown_keys(reward)

    def test_identity(self, reward: RewardSettings) -> None:
        """Its identity is plain JSON, the same for the same settings."""
        plain(reward.identity(), "identity()")
        again = parse(type(reward), json.loads(json.dumps(reward.record())), "the same")
        require(reward.identity() == again.identity(), "identity() differs between two objects with the same settings")

    def test_values(self, reward: RewardSettings) -> None:
        """It gives a list with one value for each image: a finite float, or None."""
        found = self.load(reward)
        require(
            isinstance(found.host, bool),
            "its 'host' is no bool: True for the CPU beside the device, False on the device",
        )
        for count in (1, 3, 6):
            values = _scored(found, self.images(count), self.conditions(count))
            require(isinstance(values, list), f"score() gives a {type(values).__name__}; give a list: .tolist()")
            require(len(values) == count, f"score() gives {len(values)} values for {count} images")
            for value in values:
                _number(value)

    def test_rows(self, reward: RewardSettings) -> None:
        """An image's value does not depend on the images beside it."""
        found, images, others = self.load(reward), self.images(6), self.images(6, seed=1)
        values = _scored(found, images, self.conditions(6))
        value = values[0]
        for place in range(6):
            row, conditions = others.clone(), self.conditions(6)
            row[place], conditions[place] = images[0], conditions[0]
            there = _scored(found, row, conditions)[place]
            require(
                _same([there], [value]),
                f"the same image has the value {value} in one batch and {there} at place {place} of another; use no "
                "statistics over the batch",
            )
        # the largest value of a batch shows only beside a dark image: the second one
        black = images.clone().zero_()
        black[1] = images[1]
        bright, dark = (_scored(found, beside, self.conditions(6))[1] for beside in (images, black))
        require(
            _same([bright], [dark]),
            f"an image has the value {bright} beside bright ones and {dark} beside black ones; use no statistics over "
            "the batch",
        )
        for count in small_batches(found):
            few = _scored(found, images[:count], self.conditions(count))
            require(
                _same(few, values[:count]),
                f"images have the values {few} in a batch of {count} and {values[:count]} in one of 6, and batches of "
                f"the host have any size; {REMEDY}",
            )

    def test_order(self, reward: RewardSettings) -> None:
        """Values come in the images' order."""
        found, images, conditions = self.load(reward), self.images(6), self.conditions(6)
        values = _scored(found, images, conditions)
        turned = _scored(found, images.flip(0), conditions[::-1])
        require(
            _same(turned[::-1], values),
            f"images in the opposite order have other values: {_brief(values)}, then {_brief(turned[::-1])}",
        )

    def test_repeats(self, reward: RewardSettings) -> None:
        """The same images have the same values again, also of a reward that is loaded again."""
        images, conditions = self.images(4), self.conditions(4)
        first = _scored(self.load(reward), images, conditions)
        for again in (self.load(reward), reward.load("cpu", lambda condition: f"a photo of {condition}")):
            second = _scored(again, images, conditions)
            require(
                _same(first, second),
                f"the same images have the values {_brief(first)} and then {_brief(second)}; draw nothing at random, "
                "and keep nothing between calls",
            )

    def test_images(self, reward: RewardSettings) -> None:
        """It leaves the images as they were."""
        import torch

        images = self.images(4)
        _scored(self.load(reward), images, self.conditions(4))
        require(torch.equal(images, self.images(4)), "score() writes into the images; others are scored on them, too")


def _scored(reward: Reward, images: Tensor, conditions: Sequence[Condition]) -> list[Score]:
    """The reward's values; one that asks for noise levels is told the same for all images."""
    return score_at(reward, images, conditions, [0.5] * len(images))


def _number(value: object) -> None:
    if value is None:
        return
    if not isinstance(value, float) or type(value) is not float:
        fail(f"a value is a {type(value).__name__}; give Python's floats: .tolist(), or float(value)")
    require(math.isfinite(value), f"a value is {value}; give None for an image that cannot be scored")


def _same(first: Sequence[Score], second: Sequence[Score]) -> bool:
    """Whether values are equal, those that are not numbers too."""
    return repr(first) == repr(second)


def _brief(values: Sequence[Score]) -> str:
    return ", ".join("None" if value is None else f"{value:.6g}" for value in values[:3]) + ", ..."
