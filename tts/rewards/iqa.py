"""No-reference image quality by pyiqa (Chen and Mo 2022), an extra package: judges to hold out."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from pydantic import Field

from tts.errors import SettingError, WeightsError, first_line
from tts.plan import Condition
from tts.rewards.base import Caption, Reward, RewardSettings, Score

if TYPE_CHECKING:
    from torch import Tensor

NO_REFERENCE = "NR"
"""What pyiqa calls metrics that need no other image."""


class IQA(RewardSettings):
    """How clean an image is, whatever it shows, by a metric of pyiqa without reference; higher is better.

    Meant for held_out: searches on such metrics find what fools them. pyiqa and the weights that it fetches have
    licences of their own, some for research only.
    """

    metric: str = Field(
        "musiq", description="pyiqa's name of a metric without reference: musiq, maniqa, clipiqa+, niqe"
    )

    def check(self) -> None:
        """Find the package and the metric's kind; its weights are fetched when it is loaded."""
        config = self._configs().get(self.metric)
        if config is None:
            raise SettingError(f"metric {self.metric}: pyiqa has none of this name; pyiqa.list_models() tells them")
        if config.get("metric_mode") != NO_REFERENCE:
            raise SettingError(f"metric {self.metric}: compares an image with another; name one without reference")

    def identity(self) -> dict[str, Any]:
        """The settings, and the release of pyiqa, which decides which weights it fetches."""
        return {**self.record(), "pyiqa": _version()}

    def load(self, device: str = "cpu", caption: Caption = str) -> Reward:
        """The metric on a device.

        Raises:
            WeightsError: its weights cannot be had.
        """
        from tts.networks.placing import place

        self.check()
        import pyiqa

        try:
            network = pyiqa.create_metric(self.metric, device=device)
        except (OSError, RuntimeError, ValueError, KeyError, ImportError) as error:
            raise WeightsError(f"metric {self.metric}: pyiqa cannot load it ({first_line(error)})") from None
        return IQAReward(place(network, device), device, -1.0 if network.lower_better else 1.0)

    def _configs(self) -> Any:
        _version()
        from pyiqa.default_model_configs import DEFAULT_CONFIGS

        return DEFAULT_CONFIGS


def _version() -> str:
    """Of the installed package.

    Raises:
        SettingError: there is none.
    """
    try:
        return version("pyiqa")
    except PackageNotFoundError:
        raise SettingError("reward iqa: needs pyiqa, which is not installed; pip install pyiqa") from None


class IQAReward:
    """The metric of each image, one after another, as some have statistics over a batch."""

    host = False

    def __init__(self, network: Any, device: str, sign: float) -> None:
        self.network, self.device, self.sign = network, device, sign

    def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[Score]:
        """The metric of each image alone, negated where a lower one is better."""
        pixels = images.to(self.device).float() / 255
        return [self.sign * float(self.network(pixels[place : place + 1])) for place in range(len(pixels))]
