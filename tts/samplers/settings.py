"""Settings of samplers, of one form for every model: ``sampler: {name: ddim, steps: 50, eta: 1}``."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from pydantic import BeforeValidator, PlainSerializer

from tts.registry import SAMPLERS
from tts.samplers.schedules import Schedule
from tts.settings import Settings

if TYPE_CHECKING:
    from tts.samplers.base import Sampler


MOST_STEPS = 10_000
"""Most steps of a sampler; training schedules have about a thousand."""


class SamplerSettings(Settings):
    """A kind of sampler with its settings; reading and checking them needs no torch."""

    @abstractmethod
    def on(self, schedule: Schedule) -> Sampler:
        """The sampler on a model's noise levels.

        Raises:
            SettingError: the sampler cannot step on such levels, or not with these settings.
        """

    def identity(self) -> dict[str, Any]:
        """Its name and settings; for a sampler that is not registered, also the digest of its code."""
        target = f"{type(self).__module__}:{type(self).__qualname__}"
        name = next((name for name, known in SAMPLERS.targets.items() if known == target), target)
        return {"name": name, **SAMPLERS.identified(name, self.record())}


def _reader(default: str) -> Callable[[object], SamplerSettings]:
    def read(value: object) -> SamplerSettings:
        if isinstance(value, SamplerSettings):
            return value
        if not isinstance(value, str | dict):
            raise ValueError("expected a name or {name: ..., setting: value}")  # noqa: TRY004  (pydantic's)
        given = {"name": default, **({"name": value} if isinstance(value, str) else value)}
        if SAMPLERS.is_own(given["name"]):
            given.pop("code", None)  # a record states what the code was; it is computed anew
        return SAMPLERS.make(given)[1]

    return read


def _recorder(default: str) -> Callable[[SamplerSettings], dict[str, Any]]:
    def recorded(sampler: SamplerSettings) -> dict[str, Any]:
        found = sampler.identity()
        return sampler.record() if found["name"] == default else found  # as before there were others

    return recorded


HeunByDefault: TypeAlias = Annotated[
    SamplerSettings, BeforeValidator(_reader("heun")), PlainSerializer(_recorder("heun"))
]
"""A sampler; stochastic Heun where no name is given."""

DDIMByDefault: TypeAlias = Annotated[
    SamplerSettings, BeforeValidator(_reader("ddim")), PlainSerializer(_recorder("ddim"))
]
"""A sampler; DDIM where no name is given."""

InterpolantByDefault: TypeAlias = Annotated[
    SamplerSettings, BeforeValidator(_reader("interpolant")), PlainSerializer(SamplerSettings.identity)
]
"""A sampler; the interpolant where no name is given."""
