"""No-reference quality by pyiqa: its sign, its kinds, and the message without the package."""

from __future__ import annotations

from typing import Any

import fake_pyiqa
import pytest
import torch

from tts.errors import SettingError
from tts.registry import REWARDS


def make(**settings: Any) -> Any:
    return REWARDS.make({"name": "iqa", **settings})[1]


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_pyiqa.install(monkeypatch)


@pytest.mark.usefixtures("package")
def test_higher_is_better_whatever_the_metric_says_and_each_image_goes_by_itself() -> None:
    images = torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    expected = (images.float() / 255).diff(dim=3).abs().mean(dim=(1, 2, 3)).tolist()
    assert make().load("cpu", str).score(images, [""] * 3) == pytest.approx(expected)
    assert make(metric="niqe").load("cpu", str).score(images, [""] * 3) == pytest.approx([-each for each in expected])


@pytest.mark.usefixtures("package")
def test_metrics_that_compare_and_unknown_ones_are_refused() -> None:
    with pytest.raises(SettingError, match="metric lpips: needs a reference image; name a no-reference metric"):
        make(metric="lpips").check()
    with pytest.raises(SettingError, match="metric music: pyiqa has no such metric"):
        make(metric="music").check()
    assert make().identity() == {"metric": "musiq", "pyiqa": "0.1.16"}


def test_without_the_package_it_is_said_what_to_install() -> None:
    with pytest.raises(SettingError, match="needs pyiqa, which is not installed; pip install pyiqa"):
        make().check()
