"""Stable Diffusion from a single file in its authors' form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import original_form
import pytest
import tiny_pipelines
import torch
from hostile import pickle_that_makes

from tts.errors import WeightsError
from tts.noise import normal
from tts.registry import MODELS


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same networks as a folder and as a file; the folder's own weights are others."""
    folder = tmp_path_factory.mktemp("single")
    pipeline = tiny_pipelines.stable_diffusion(seed=1)
    tiny_pipelines.save(pipeline, folder / "same")
    tiny_pipelines.save(tiny_pipelines.stable_diffusion(seed=2), folder / "other")
    return folder, original_form.save(pipeline, folder / "it.safetensors")


def settings(id: Path, **values: Any) -> Any:
    return MODELS.make({"name": "stable-diffusion", "id": str(id), "steps": 4, **values})[1]


def test_the_files_weights_are_used_with_the_folders_configuration(both: tuple[Path, Path]) -> None:
    folder, file = both
    single, same, other = (
        settings(folder / "other", file=str(file)),
        settings(folder / "same"),
        settings(folder / "other"),
    )
    single.check()
    x = torch.stack([torch.from_numpy(normal(k, (4, 8, 8))) for k in range(2)])
    with torch.inference_mode():
        models = [made.load() for made in (single, same, other)]
        latents = [model.denoise(x, torch.full((2,), 501.0).double(), ["a cat", "dog"]) for model in models]
        images = [model.decode(x) for model in models]
    torch.testing.assert_close(latents[0], latents[1], atol=1e-5, rtol=1e-5)
    assert (latents[0] - latents[2]).abs().max() > 1e-2
    assert (images[0].int() - images[1].int()).abs().max() <= 1


def test_identity_is_of_the_file(both: tuple[Path, Path], tmp_path: Path) -> None:
    folder, file = both
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(file.read_bytes())
    another = original_form.save(tiny_pipelines.stable_diffusion(seed=3), tmp_path / "another.safetensors")
    identities = [settings(folder / "other", file=str(path)).identity() for path in (file, copy, another)]
    assert identities[0] == identities[1] != identities[2]


def test_files_that_cannot_be_used_are_named(both: tuple[Path, Path], tmp_path: Path) -> None:
    folder, file = both
    half = tmp_path / "half.safetensors"
    half.write_bytes(file.read_bytes()[:5000])
    hostile = pickle_that_makes(tmp_path / "proof", tmp_path / "it.ckpt")
    for path, message in ((half, "damaged"), (hostile, "damaged"), (tmp_path / "none.safetensors", "no such file")):
        with pytest.raises(WeightsError, match=message):
            settings(folder / "other", file=str(path)).check()
        with pytest.raises(WeightsError):
            settings(folder / "other", file=str(path)).load()
    assert not (tmp_path / "proof").exists()
