"""Settings of guidance: ``guidance: 4`` or ``guidance: {name: embedded, scale: 4}``. The module needs no torch.

A number alone is a scale, and the network decides the kind: embedded if it is told the scale, else classifier-free.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, TypeAlias

from pydantic import BeforeValidator, Field, PlainSerializer

from tts.errors import SettingError
from tts.settings import Settings, nearest, parse


class GuidanceSettings(Settings):
    """A kind of guidance with its settings.

    Attributes:
        name: name of the kind; empty for a number alone.
        passes: forwards of a network that one answer takes.
    """

    name: ClassVar[str] = ""
    passes: ClassVar[int] = 1

    def written(self) -> Any:
        """The guidance as a configuration writes it."""
        return {"name": self.name, **self.record()}

    def __str__(self) -> str:
        return str(self.written())


class Scaled(GuidanceSettings):
    """A kind of guidance that has a scale."""

    scale: float = Field(ge=1, description="1: none, half the forwards where guidance is classifier-free")


class Scale(Scaled):
    """A scale without a kind."""

    def written(self) -> float:
        """The number."""
        return self.scale


class NoGuidance(GuidanceSettings):
    """The network's own answer; a network that is told a scale gets the value that it was trained with for none."""

    name = "none"


class ClassifierFreeGuidance(Scaled):
    """Away from the answer without a condition, in two passes; see :class:`tts.models.guidance.ClassifierFree`."""

    name = "classifier_free"
    passes = 2


class EmbeddedGuidance(Scaled):
    """The network is told the scale, in one pass; see :class:`tts.models.guidance.Embedded`."""

    name = "embedded"


class Autoguided(Scaled):
    """Away from a weaker network's answer, in two passes; see :class:`tts.models.guidance.Autoguidance`."""

    name = "autoguidance"
    passes = 2


class WeakerPipeline(Autoguided):
    """Autoguidance by another checkpoint of the same kind."""

    id: str = Field(description="the weaker network: local folder, or name of a repository on the hub (owner/name)")
    revision: str | None = Field(None, description="branch, tag or commit of the repository")
    variant: str | None = Field(None, description="infix of the weight files to use, for example fp16")


class WeakerPickle(Autoguided):
    """Autoguidance by another EDM checkpoint; by one without labels it is classifier-free guidance."""

    checkpoint: str = Field(description="the weaker network: pickle of an EDMPrecond, a file or an https address")
    classes: int | None = Field(None, ge=0, description="its classes; left out: as many as the network's; or 0")
    sha256: str | None = Field(None, pattern="^[0-9a-fA-F]{8,64}$", description="SHA-256 of it, or its first digits")


def _reader(number: bool, kinds: Mapping[str, type[GuidanceSettings]]) -> Callable[[object], GuidanceSettings]:
    def read(value: object) -> GuidanceSettings:
        if isinstance(value, GuidanceSettings):
            return value
        if number and (scale := _number(value)) is not None:
            return parse(Scale, {"scale": scale}, "guidance")
        given = {"name": value} if isinstance(value, str) else value
        if not isinstance(given, dict) or "name" not in given:
            alone = "a number or " if number else ""
            raise SettingError(f"guidance: expected {alone}{{name: ..., scale: ...}}; known: {', '.join(kinds)}")
        name, settings = given["name"], {key: value for key, value in given.items() if key != "name"}
        if name not in kinds:
            raise SettingError(f"guidance: unknown name '{name}'; {nearest(name, kinds)}")
        return parse(kinds[name], settings, f"guidance {name}")

    return read


def _number(value: object) -> object:
    """The value as a number, also from a text of digits; None if it is no number."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    try:
        return float(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _written(given: GuidanceSettings) -> Any:
    return given.written()


def _kinds(*kinds: type[GuidanceSettings]) -> dict[str, type[GuidanceSettings]]:
    return {kind.name: kind for kind in kinds}


LatentGuidance: TypeAlias = Annotated[
    GuidanceSettings,
    BeforeValidator(_reader(True, _kinds(NoGuidance, ClassifierFreeGuidance, EmbeddedGuidance, WeakerPipeline))),
    PlainSerializer(_written),
]
"""Guidance of latent models: a number, or a kind by name."""

EDMGuidance: TypeAlias = Annotated[
    GuidanceSettings,
    BeforeValidator(_reader(False, _kinds(NoGuidance, WeakerPickle))),
    PlainSerializer(_written),
]
"""Guidance of EDM's models: a kind by name."""


def resolved(given: GuidanceSettings, embeds: bool) -> GuidanceSettings:
    """The kind of guidance that a network gets.

    Args:
        given: the guidance in the configuration.
        embeds: whether the network is told the scale.

    Raises:
        SettingError: the network does not support this kind.
    """
    if embeds:
        if isinstance(given, ClassifierFreeGuidance | Autoguided):
            raise SettingError(
                f"guidance {given.name}: this network is told the scale and asked once; write guidance: {given.scale:g}"
            )
        return EmbeddedGuidance(scale=given.scale if isinstance(given, Scaled) else 1.0)
    if isinstance(given, EmbeddedGuidance):
        raise SettingError(
            f"guidance embedded: this network is not told a scale (its config has no time_cond_proj_dim); write "
            f"guidance: {given.scale:g} for classifier-free guidance"
        )
    if isinstance(given, Scale | ClassifierFreeGuidance):
        return ClassifierFreeGuidance(scale=given.scale) if given.scale > 1 else NoGuidance()
    return given
