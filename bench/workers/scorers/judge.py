"""A scorer's work, wherever it runs: load rewards, and score batches as an engine would."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from bench.study.study import Study
from bench.workers.numerics import set_numerics
from tts.errors import DeviceError, EngineError, first_line
from tts.plan import Condition

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tts.rewards.base import Reward


class Answer(NamedTuple):
    """An image's score, or why the reward failed on it."""

    score: float | None
    error: str | None = None


Images: TypeAlias = "NDArray[np.uint8]"
"""``[B, 3, H, W]``."""


class Judge:
    """Scores batches of one reward at a time; rewards of a device get whole batches, as an engine would give them.

    Args:
        rewards: loaded, by name.
        batch: images that rewards of a device get.
    """

    def __init__(self, rewards: Mapping[str, Reward], batch: int) -> None:
        self._rewards, self._batch = rewards, batch

    @classmethod
    def of(cls, study: Study) -> Judge:
        """Of the rewards of a study's scorers.

        Raises:
            EngineError: one needs the engines' kind of device, and would have another one here.
        """
        config = study.config
        assert config.scorers is not None  # or there would be no scorer
        set_numerics(config.engines)
        device = "cuda" if config.engines.device == "cuda" and config.scorers.gpus > 0 else "cpu"
        rewards = {name: study.rewards[name].load(device, study.model.caption) for name in config.scorers.rewards}
        for name, reward in rewards.items():
            if not reward.host and device != config.engines.device:
                raise EngineError(
                    f"scorers: reward {name} would have other values on a CPU than on the engines' GPUs; set "
                    "scorers.gpus, or leave it out of scorers.rewards"
                )
        return cls(rewards, config.engines.score_batch or config.engines.batch)

    def score(self, name: str, images: Images, conditions: Sequence[Condition]) -> list[Answer]:
        """An answer for each image; whatever else a reward does wrong is an answer, too.

        Raises:
            DeviceError: nothing else can be scored here either, for want of memory perhaps.
        """
        size = self._batch if not self._rewards[name].host else len(images)
        parts = [slice(at, at + size) for at in range(0, len(images), max(1, size))]
        return [answer for part in parts for answer in self._part(name, images[part], conditions[part], size)]

    def _part(self, name: str, images: Images, conditions: Sequence[Condition], size: int) -> list[Answer]:
        from tts.engine.device_errors import of_the_device

        try:
            return self._asked(name, images, conditions, size)
        except DeviceError:
            raise
        except Exception as error:
            if of_the_device(error):
                raise DeviceError(f"reward {name}: {first_line(error)}") from None
            return [Answer(None, f"reward {name} failed: {type(error).__name__}: {first_line(error)}")] * len(images)

    def _asked(self, name: str, images: Images, conditions: Sequence[Condition], size: int) -> list[Answer]:
        import torch

        from tts.engine.asking import ask_places
        from tts.engine.padding import pad, padded

        reward = self._rewards[name]
        with torch.inference_mode():
            given = pad(list(torch.from_numpy(images.copy())), size)  # what Ray hands over is read-only
            places = {k: k for k in range(len(images))}
            scores, errors = ask_places(name, reward, given, padded(list(conditions), size), places)
        return [Answer(scores.get(k), errors.get(k)) for k in places]
