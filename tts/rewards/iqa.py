"""No-reference image quality by pyiqa (Chen and Mo 2022), an optional package: judges to hold out."""

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
"""pyiqa's name for metrics that need no reference image."""


class IQA(RewardSettings):
    """Technical quality of an image, whatever it shows, by a no-reference metric of pyiqa; higher is better.

    Use it in held_out: a search on such a metric finds images that fool it. pyiqa and the weights that it downloads
    have their own licences, some for research only.
    """

    metric: str = Field("musiq", description="pyiqa's name of a no-reference metric: musiq, maniqa, clipiqa+, niqe")

    def check(self) -> None:
        """Find the package and the metric (``SettingError``); the metric's weights are downloaded when it is loaded."""
        config = self._configs().get(self.metric)
        if config is None:
            raise SettingError(f"metric {self.metric}: pyiqa has no such metric; pyiqa.list_models() lists them")
        if config.get("metric_mode") != NO_REFERENCE:
            raise SettingError(f"metric {self.metric}: needs a reference image; name a no-reference metric")

    def identity(self) -> dict[str, Any]:
        """The settings, and the version of pyiqa, which decides which weights it downloads."""
        return {**self.record(), "pyiqa": _version()}

    def load(self, device: str = "cpu", caption: Caption = str) -> Reward:
        """The metric on a device.

        Raises:
            WeightsError: its weights cannot be downloaded or loaded.
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
    """Version of the installed package.

    Raises:
        SettingError: it is not installed.
    """
    try:
        return version("pyiqa")
    except PackageNotFoundError:
        raise SettingError("reward iqa: needs pyiqa, which is not installed; pip install pyiqa") from None


class IQAReward:
    """The metric of each image; images go one at a time, as some metrics use statistics of a batch."""

    host = False

    def __init__(self, network: Any, device: str, sign: float) -> None:
        self.network, self.device, self.sign = network, device, sign

    def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[Score]:
        """The metric of each image alone, negated where lower is better."""
        pixels = images.to(self.device).float() / 255
        return [self.sign * float(self.network(pixels[place : place + 1])) for place in range(len(pixels))]
