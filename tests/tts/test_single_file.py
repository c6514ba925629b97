"""Stable Diffusion from a single file in the authors' form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import original_form
import pytest
import tiny_pipelines
import torch
from hostile import pickle_that_makes
from safetensors.torch import load_file, save_file

from tts.errors import WeightsError
from tts.noise import normal
from tts.registry import MODELS


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Networks in a single file, and a folder with their configuration but other weights."""
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


SD = "of Stable Diffusion 1.x or 2.x; name a file with all parts in their authors' form"
UNET, VAE, TEXT = "model.diffusion_model.", "first_stage_model.", "cond_stage_model."
PIECES: dict[str, tuple[str, str]] = {
    "the UNet alone": (UNET, f"holds a UNet, but no VAE and no text encoder {SD}"),
    "the VAE alone": (VAE, f"holds a VAE, but no UNet and no text encoder {SD}"),
    "the text encoder alone": (
        TEXT,
        f"holds the text encoder of Stable Diffusion 1.x or 2.x, but no UNet and no VAE {SD}",
    ),
    "no text encoder": (f"{UNET} {VAE}", f"holds a UNet and a VAE, but no text encoder {SD}"),
}
FOREIGN: dict[str, tuple[list[str], str]] = {
    "a LoRA": (["lora_unet_down_blocks_0.lora_down.weight"], "holds a LoRA, but no UNet and no VAE and no text"),
    "a LoRA of peft": (["unet.down_blocks.0.attn1.to_q.lora_A.weight"], "holds a LoRA, but"),
    "a ControlNet": (["control_model.time_embed.0.weight"], "holds a ControlNet, but"),
    "a textual inversion": (["emb_params"], "holds a textual inversion, but"),
    "FLUX": (["double_blocks.0.img_attn.norm.key_norm.scale"], "holds a transformer, but"),
    "SD 3": (["model.diffusion_model.joint_blocks.0.x_block.mlp.fc1.weight"], "holds a transformer, but"),
    "SDXL": (
        [f"{UNET}input_blocks.0.0.weight", f"{VAE}x", "conditioner.embedders.0.x", "conditioner.embedders.1.x"],
        "holds a UNet and a VAE and the text encoder of SDXL and the second text encoder of SDXL, but no text",
    ),
    "anything": (["a", "b", "c"], "holds other tensors (3: 'a', 'b', ...), but no UNet and no VAE"),
    "nothing": ([], "holds other tensors (0: ), but no UNet"),
}
MARKS: dict[str, tuple[list[str], str]] = {
    "velocity": (["v_pred"], "predicts 'v_prediction', and the scheduler beside id says 'epsilon'"),
    "no signal": (["ztsnr"], "trained without signal at the first step, and the scheduler beside id has no rescale"),
    "EDM": (["edm_mean", "edm_std"], "is told noise levels of EDM"),
    "a scale": ([f"{UNET}time_embed.cond_proj.weight"], "its UNet is told the scale of guidance, and the one of id is"),
}


def one_line(id: Path, file: Path) -> str:
    """The message about a file, which is the same from all callers."""
    with pytest.raises(WeightsError) as error:
        settings(id, file=str(file)).check()
    said = str(error.value)
    with pytest.raises(WeightsError) as again:
        settings(id, file=str(file)).load()
    assert str(again.value) == said
    assert said.startswith(f"file {file}: ")
    assert "\n" not in said
    return said


@pytest.mark.parametrize("piece", PIECES)
def test_a_part_says_what_it_is_and_what_is_missing(piece: str, both: tuple[Path, Path], tmp_path: Path) -> None:
    (folder, file), (prefixes, message) = both, PIECES[piece]
    kept = {name: value for name, value in load_file(file).items() if name.startswith(tuple(prefixes.split()))}
    save_file(kept, tmp_path / "it.safetensors")
    assert one_line(folder / "other", tmp_path / "it.safetensors").endswith(message)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("unet/diffusion_pytorch_model", f"holds a UNet in diffusers' form, but no VAE and no text encoder {SD}"),
        ("vae/diffusion_pytorch_model", f"holds a VAE alone, but no UNet and no text encoder {SD}"),
        ("text_encoder/model", f"holds a text encoder alone, but no UNet and no VAE {SD}"),
    ],
)
def test_so_does_a_part_of_a_folder(part: str, message: str, both: tuple[Path, Path]) -> None:
    folder, _ = both
    assert one_line(folder / "other", folder / "same" / f"{part}.safetensors").endswith(message)


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_file_says_what_it_is(kind: str, both: tuple[Path, Path], tmp_path: Path) -> None:
    names, message = FOREIGN[kind]
    save_file({name: torch.zeros(1) for name in names}, tmp_path / "it.safetensors")
    assert f": {message}" in one_line(both[0] / "other", tmp_path / "it.safetensors")


@pytest.mark.parametrize("mark", MARKS)
def test_a_file_that_denies_the_configuration_beside_it_is_refused(
    mark: str, both: tuple[Path, Path], tmp_path: Path
) -> None:
    (folder, file), (names, message) = both, MARKS[mark]
    marked = {**load_file(file), **{name: torch.zeros(1) for name in names}}
    save_file(marked, tmp_path / "it.safetensors")
    assert message in one_line(folder / "other", tmp_path / "it.safetensors")


def test_a_folder_is_no_file(both: tuple[Path, Path]) -> None:
    with pytest.raises(WeightsError, match=r"same: a folder; name a file, or set id to the folder$"):
        settings(both[0] / "other", file=str(both[0] / "same")).check()
