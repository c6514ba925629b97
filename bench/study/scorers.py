"""Scorers: places of their own for slow rewards, as a configuration says them."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from tts.errors import SettingError
from tts.settings import Settings, nearest


class Scorers(Settings):
    """Processes, on Ray actors, that score images for all engines. They change no result, only when it is there."""

    count: int = Field(1, ge=1, description="processes; on Ray, actors")
    gpus: float = Field(
        0.0, ge=0, description="GPUs of each, with engines.backend: ray; 0: CPUs, as many as engines.threads"
    )
    rewards: list[str] = Field(min_length=1, description="names of the rewards that are theirs, held-out ones too")
    queue: int = Field(8, ge=1, description="batches that wait at a scorer before engines wait as well")
    patience: float = Field(
        600.0, gt=0, description="seconds for a batch, after which a scorer is replaced and its images scored again"
    )

    def check(self, known: Iterable[str]) -> None:
        """Refuse what is no reward of the run.

        Raises:
            SettingError: names the reward, and the nearest that there is.
        """
        names = list(known)
        for name in self.rewards:
            if name not in names:
                raise SettingError(f"scorers.rewards: the run has no reward '{name}'; {nearest(name, names)}")
