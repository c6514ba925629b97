"""The interface of every sink: what a configuration says of it, and the tracker that it opens."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, ClassVar, NamedTuple, Protocol

from pydantic import Field, model_validator

from tts.errors import SettingError
from tts.files.addresses import SECRET
from tts.settings import Settings


class CurvePoint(NamedTuple):
    """A point of a curve: the reward and the curve that it is of, mean forwards a problem, mean reward, problems."""

    reward: str
    curve: str
    nfe: float
    mean: float
    n: int


@dataclass(frozen=True)
class RunFacts:
    """What a tracker is told of a run when it begins.

    Args:
        name: for people.
        identity: 32 hex digits; the same when a run goes on, so that it goes on there, too.
        output: the results folder or address.
        folder: where files of a sink may lie; None: the results are in an object store.
        config: as given, with all defaults; it holds no secrets.
    """

    name: str
    identity: str
    output: str
    folder: str | None
    config: Mapping[str, Any]


class Tracker(Protocol):
    """An open sink. Its methods are called from one thread, and may fail or take their time: a run does not wait."""

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        """Numbers by names such as ``progress/done`` and ``mean/brightness/random N=4``; ``step``: trials done."""
        ...

    def image(self, name: str, png: bytes, step: int) -> None:
        """A final image."""
        ...

    def curves(self, points: Sequence[CurvePoint], step: int) -> None:
        """All curves, at the end."""
        ...

    def end(self, state: str) -> None:
        """The run is ``done``, or ``stopped`` and may go on later."""
        ...


class SinkSettings(Settings):
    """What a configuration says of a sink; secrets are taken from the environment alone.

    Attributes:
        package: that must be installed, as it is imported.
        extra: of this project, which installs it.
    """

    package: ClassVar[str | None] = None
    extra: ClassVar[str | None] = None
    seconds: float = Field(30.0, ge=0, description="numbers are sent so often, and at the end")
    images: int = Field(16, ge=0, description="final images to send, the first of each point of the curves")

    @model_validator(mode="before")
    @classmethod
    def _no_secrets(cls, values: Any) -> Any:
        for key in values if isinstance(values, dict) else ():
            if SECRET.search(str(key)):
                raise SettingError(
                    f"sinks: '{str(key)[:40]}' may be a secret, and a configuration is stored; set it in the "
                    "environment, as the sink's own documentation says"
                )
        return values

    def check(self) -> None:
        """Find what is missing before a run begins; raises a ``SettingError``."""
        if self.package is not None and find_spec(self.package) is None:
            raise SettingError(
                f"sinks: {self.package} is not installed; pip install 'diffusion-tts-bench[{self.extra}]', or leave "
                "that sink out"
            )

    @abstractmethod
    def open(self, run: RunFacts) -> Tracker:
        """Begin a run there, or go on with it, also after a failure of the tracker before."""
