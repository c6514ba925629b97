"""Every reward keeps to the rules of :mod:`tts.testing`, and the rules catch those that do not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import fake_pyiqa
import pandas as pd
import pytest
import tiny_judges
import tiny_rewards
from reward_servers import brightness_service, serving
from torch import Tensor

from tts.plan import Condition
from tts.registry import REWARDS
from tts.rewards.base import Caption, Reward, RewardSettings, Score
from tts.testing import RewardConformance, Violation

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def blocks() -> Iterator[int]:
    """Make DINOv2 shallow; the value is its number of blocks."""
    with pytest.MonkeyPatch.context() as patch:
        yield tiny_rewards.shallow(patch)


@pytest.fixture(scope="module")
def scorers(blocks: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, RewardSettings]]:
    """Every reward of the package: small weights stand for published ones, and the remote reward has a service."""
    folder, two = tmp_path_factory.mktemp("rewards"), ["brightness", "compressibility"]
    settings: dict[str, dict[str, Any]] = {
        **(small := tiny_rewards.all_settings(folder / "weights")),
        "clip_classes": {"model": small["clip"]["model"]},
        **tiny_judges.all_settings(folder / "judges", [f"a photo of {k}" for k in range(6)]),
        "dino_classes": tiny_rewards.dino_classes(folder, blocks)[0],
        "weighted": {"of": [{"reward": name} for name in two]},
        "rank_average": {"of": two, "reference": str(folder)},
    }
    (folder / "trials").mkdir()
    scores = pd.DataFrame({"search": "naive", **{f"score_{name}": [0.4, 0.5, 0.6] for name in two}})
    scores.to_parquet(folder / "trials" / "part-0.parquet")
    with serving(brightness_service) as url, pytest.MonkeyPatch.context() as patch:
        fake_pyiqa.install(patch)
        settings["remote"] = {"url": url}
        yield {name: REWARDS.make({"name": name, **settings.get(name, {})})[1] for name in REWARDS.targets}


class TestRewards(RewardConformance):
    """Every reward."""

    @pytest.fixture(scope="class", params=sorted(REWARDS.targets))
    @classmethod
    def reward(cls, request: pytest.FixtureRequest, scorers: dict[str, RewardSettings]) -> RewardSettings:
        return scorers[request.param]


class Mean(RewardSettings):
    """Mean brightness, with a fault that a test chooses."""

    how: str = "right"

    def load(self, device: str = "cpu", caption: Caption = str) -> Reward:
        return MeanReward(self.how)


class MeanReward:
    """Scores with the chosen fault."""

    host = True

    def __init__(self, how: str) -> None:
        self.how, self.calls = how, 0

    def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[Score]:
        self.calls += 1
        values = images.float().mean(dim=(1, 2, 3)) / 255
        result: Any = {
            "right": values.tolist,
            "tensor": lambda: values,
            "numbers": lambda: [*values],
            "fewer": lambda: values.tolist()[1:],
            "relative": lambda: (values - values.mean()).tolist(),
            "largest": lambda: (values * 255 / images.max().clamp(min=1)).tolist(),
            "alone": lambda: (values + 1e-6 * (len(values) == 1)).tolist(),
            "sorted": lambda: sorted(values.tolist()),
            "counting": lambda: [value + self.calls for value in values.tolist()],
            "nan": lambda: (values / values).tolist(),
            "writes": lambda: images.zero_().float().mean(dim=(1, 2, 3)).tolist(),
            "unscored": lambda: [None if value > 0.5 else value for value in values.tolist()],
        }
        return result[self.how]()  # type: ignore[no-any-return]


FAULTY_REWARDS = {
    "tensor": ("values", "score() gives a Tensor; give a list: .tolist()"),
    "numbers": ("values", "a value is a Tensor; give Python's floats"),
    "fewer": ("values", "score() gives 0 values for 1 images"),
    "nan": ("values", "a value is nan; give None for an image that cannot be scored"),
    "relative": ("rows", "use no statistics over the batch"),
    "largest": ("rows", "beside black ones; use no statistics over the batch"),
    "alone": ("rows", "batches of the host have any size; take the images one by one, or have host = False"),
    "sorted": ("order", "images in the opposite order have other values"),
    "counting": ("repeats", "draw nothing at random, and keep nothing between calls"),
    "writes": ("images", "score() writes into the images"),
}


@pytest.mark.parametrize("how", FAULTY_REWARDS)
def test_a_faulty_reward_is_told_what_is_wrong(how: str) -> None:
    rule, message = FAULTY_REWARDS[how]
    with pytest.raises(Violation, match=re.escape(message)):
        getattr(RewardConformance(), f"test_{rule}")(Mean(how=how))


@pytest.mark.parametrize("how", ["right", "unscored"])
def test_a_sound_reward_keeps_to_the_rules(how: str) -> None:
    reward = Mean(how=how)
    for name, check in vars(RewardConformance).items():
        if name.startswith("test_"):
            check(RewardConformance(), reward)
