"""A reward that is a user's own function."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from tts.errors import EngineError
from tts.files.digests import sha256
from tts.plan import Condition
from tts.rewards.base import Caption, Reward, RewardSettings, Score

if TYPE_CHECKING:
    from torch import Tensor


class Own(RewardSettings):
    """A user's own function ``f(images, conditions) -> values``.

    It gets ``[B, 3, H, W]`` uint8 images and B conditions (or captions), and returns B numbers, with None for an image
    that cannot be scored. A value must depend on its own image and condition only.
    """

    target: str = Field(description="module:function")
    host: bool = Field(True, description="true: images are in the CPU's memory; false: on the device")
    captions: bool = Field(False, description="pass captions instead of class indices")

    def identity(self) -> dict[str, Any]:
        """The settings and the digest of the function's source file; files that this file imports are not included."""
        source = inspect.getsourcefile(self._function())
        return {**self.record(), "source": sha256(Path(source), "reward") if source else None}

    def _function(self) -> Callable[..., Any]:
        module, _, name = self.target.partition(":")
        function: Callable[..., Any] = getattr(importlib.import_module(module), name)
        return function

    def load(self, device: str = "cpu", caption: Caption = str) -> Reward:
        """The imported function, with captions if it wants them."""
        return OwnReward(self._function(), self.host, caption if self.captions else None)


class OwnReward:
    """Calls the function, and checks the number of its values."""

    def __init__(self, function: Callable[..., Any], host: bool, caption: Caption | None) -> None:
        self.function, self.host, self.caption = function, host, caption

    def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[Score]:
        given = [self.caption(condition) for condition in conditions] if self.caption else list(conditions)
        values = [None if value is None else float(value) for value in self.function(images, given)]
        if len(values) != len(images):
            raise EngineError(f"it returned {len(values)} values for {len(images)} images")
        return values
