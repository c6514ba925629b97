"""The family that docs/families.md prints, in a user's file, draws what the project's own family draws."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny_pipelines
import torch
from checks_of_models import MODELS as CHECKS
from tiny_flows import FAMILIES

from tts.models.base import Model
from tts.noise import normal
from tts.registry import MODELS

PAGE = Path(__file__).parents[2] / "docs" / "families.md"
PROMPTS = ["a cat", "a red cube beside a blue ball"]

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The page's files as modules; the value is the family's name in a configuration."""
    files = re.findall(r"^```python\n# (\S+)\.py\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert [file for file, _ in files] == ["my_sd3", "same"]
    for file, code in files:
        (tmp_path / f"{file}.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    yield "my_sd3:MySD3"
    for file, _ in files:
        sys.modules.pop(file, None)


def loaded(name: str, folder: Path) -> Model:
    """A tiny Stable Diffusion 3 under a name."""
    values: dict[str, Any] = {"name": name, "id": str(folder), "size": 16, "precision": "fp32"}
    settings = MODELS.make({**values, "sampler": {"steps": 4}})[1]
    settings.check()
    return settings.load()


def test_it_draws_what_ours_draws(printed: str, tmp_path: Path) -> None:
    folder = tiny_pipelines.save(FAMILIES["stable-diffusion-3"].make(), tmp_path / "tiny")
    own, ours = loaded(printed, folder), loaded("stable-diffusion-3", folder)
    x = torch.stack([torch.from_numpy(normal(row, ours.shape)) for row in (1, 2)])
    levels = torch.tensor([1.0, 0.5], dtype=torch.float64)
    with torch.inference_mode():
        found, expected = (model.denoise(x, levels, PROMPTS) for model in (own, ours))
        assert torch.equal(found, expected)
        assert not torch.equal(found, ours.denoise(x, levels, PROMPTS[::-1]))
        assert torch.equal(own.decode(found), ours.decode(expected))


def test_it_draws_what_its_pipeline_draws(printed: str, tmp_path: Path) -> None:
    """The page's own program compares them, also for other families, one of which has tokens for latents."""
    row, same = CHECKS["flow-families"], importlib.import_module("same")
    families = {printed: "stable-diffusion-3", "auraflow": "auraflow", "flux": "flux-dev"}
    for name, family in families.items():
        folder = str(tiny_pipelines.save(FAMILIES[family].make(), tmp_path / family))
        torch.manual_seed(0)
        assert same.difference(name, folder, 16, 3.0, prompt="a cat", packs=name == "flux") == row.near(0.0)
