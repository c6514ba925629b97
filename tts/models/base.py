"""The interface of every model: settings that can be checked without torch, and the loaded model."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from tts.plan import Condition, Plan
from tts.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tts.media import Media
    from tts.rewards.base import RewardSettings
    from tts.samplers.base import Sampler


class Model(Protocol):
    """A denoiser on one device. A row's result must not depend on the rows beside it.

    Attributes:
        passes: forwards of the network that one prediction takes; two with guidance.
        previews: whether predicted images have a cheaper decoder than final ones.
    """

    passes: int
    previews: bool

    @property
    def sampler(self) -> Sampler:
        """The sampler that steps the trajectories."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a state, without a batch dimension."""
        ...

    @property
    def module(self) -> nn.Module:
        """The network that forwards run, which is the part worth compiling; it gets batches of one shape."""
        ...

    def denoise(self, x: Tensor, levels: Tensor, conditions: Sequence[Condition]) -> Tensor:
        """Predicted clean states.

        Args:
            x: states, ``[B, *shape]`` float32 on the model's device.
            levels: the sampler's noise levels, ``[B]`` float64.
            conditions: one for each row.

        Returns:
            ``[B, *shape]`` float32.
        """
        ...

    def decode(self, x: Tensor, preview: bool = False) -> Media:
        """Clean states ``[B, *shape]`` as 8-bit RGB images, ``[B, 3, H, W]`` uint8.

        Args:
            x: clean states, ``[B, *shape]`` float32 on the model's device.
            preview: whether the images are predicted in mid-trajectory, so that a cheaper decoder will do.
        """
        ...


class ModelSettings(Settings):
    """Settings of a model. All methods but :meth:`load` work without torch, unless ``needs_torch`` is set.

    Attributes:
        needs_torch: whether plan and conditions need torch, because a library reads them from a checkpoint; without
            torch, only the settings themselves can be read.
        recorded: whether rewards come from a table: nothing is computed, and there are no images.
    """

    needs_torch: ClassVar[bool] = False
    recorded: ClassVar[bool] = False

    @abstractmethod
    def plan(self) -> Plan:
        """Steps of the trajectory, with their noises and costs."""

    @abstractmethod
    def condition(self, value: object) -> Condition:
        """A condition in its canonical form, from a class name, a class index or a prompt.

        Raises:
            SettingError: the model knows no such condition.
        """

    @abstractmethod
    def conditions(self) -> tuple[Condition, ...]:
        """Every condition, if they can be listed; else empty."""

    @abstractmethod
    def label(self, condition: Condition) -> str:
        """A condition's name for people."""

    def caption(self, condition: Condition) -> str:
        """A text that describes the image of a condition, for rewards that compare images with texts."""
        return f"a photo of {with_article(self.label(condition))}" if isinstance(condition, int) else condition

    def notes(self, conditions: Sequence[Condition]) -> list[str]:
        """Notes on some conditions for the user, one line each; called after :meth:`check`."""
        return []

    def judged(self, rewards: Mapping[str, RewardSettings], given: Mapping[str, Any], metrics: Iterable[str]) -> None:
        """Refuse rewards and metrics that cannot judge this model's images; raises a ``SettingError``.

        Args:
            rewards: settings of the rewards, by the names that searches use.
            given: each reward as the configuration writes it, by the same names.
            metrics: names of the metrics.
        """

    @classmethod
    def old_keys(cls, given: Mapping[str, Any]) -> list[str]:
        """One line for each deprecated key of a configuration, with the key's present form."""
        return []

    def suits(self, device: str) -> None:
        """Refuse a kind of device (``cpu``, ``cuda``) that cannot run the model; raises a ``SettingError``."""

    @abstractmethod
    def check(self) -> None:
        """Check the weights before anything is started or written.

        Raises:
            WeightsError: the weights are missing, damaged or for another network.
        """

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """Everything that changes the model's results, as plain JSON values: settings and the weights' digest."""

    @abstractmethod
    def load(self, device: str = "cpu") -> Model:
        """The model, ready on a device."""


def with_article(noun: str) -> str:
    """``a tench``, ``an ostrich``."""
    return f"{'an' if noun[:1].lower() in tuple('aeiou') else 'a'} {noun}"
