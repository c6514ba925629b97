"""One-line errors of loading: gated repositories, and too little memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError

from tts.errors import DeviceError, WeightsError
from tts.files import hub
from tts.networks.placing import place
from tts.registry import MODELS


def refusing(kind: Any, status: int) -> Callable[..., Any]:
    """A stand-in for the hub's client that refuses."""

    def download(id: str, name: str, **_: object) -> None:
        response: Any = SimpleNamespace(status_code=status, headers={}, request=None)
        why = f"{status} Client Error.\n\nCannot access {id}'s {name}."
        if kind is LocalEntryNotFoundError:  # the client's error when the hub gives no reason
            raise kind("neither in the cache nor found") from HfHubHTTPError(why, response=response)
        raise kind(why, response=response)

    return download


@pytest.mark.parametrize("kind", [GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError])
@pytest.mark.parametrize(
    ("status", "who"),
    [
        (401, "nobody is signed in here"),
        (403, "the account that is signed in here has not done so, or its token may not read gated repositories"),
    ],
)
def test_a_gated_repository_says_what_to_accept_and_where(
    kind: Any, status: int, who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.hf_hub_download", refusing(kind, status))
    hub.hub_file.cache_clear()
    model: Any = MODELS.make({"name": "flux", "id": f"owner/gated-{status}"})[1]
    with pytest.raises(WeightsError) as error:
        model.check()
    assert str(error.value) == (
        f"id owner/gated-{status}: its authors let those in who accept its terms, and {who} (the hub answers "
        f"{status}); accept them at https://huggingface.co/owner/gated-{status}, then sign in on this machine (hf auth "
        "login, or HF_TOKEN in the environment)"
    )


def test_other_answers_of_the_hub_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.hf_hub_download", refusing(HfHubHTTPError, 503))
    hub.hub_file.cache_clear()
    model: Any = MODELS.make({"name": "flux", "id": "owner/busy"})[1]
    with pytest.raises(
        WeightsError, match=r"^id owner/busy: cannot be fetched \(503 Client Error\.\); set id to a local"
    ):
        model.check()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "kind", "precision", "remedy"),
    [
        ("vae", "AutoencoderKL", "fp16", ""),
        ("vae", "AutoencoderKL", "fp32", "set precision to bf16 or fp16, "),
        ("text_encoder", "CLIPTextModel", "fp16", "set engines.encode_on to cpu, "),
        (
            "unet",
            "UNet2DConditionModel",
            "fp16",
            "set engines.model_gpus to 2 or, of models of prompts, quantization to int8, ",
        ),
    ],
)
def test_memory_too_small_for_the_weights_says_which_part_how_much_and_what_to_set(
    part: str, kind: str, precision: str, remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message is about the part that did not fit, in the precision that it would have had."""
    import tiny_pipelines

    folder = tiny_pipelines.save(tiny_pipelines.stable_diffusion(), tmp_path / "it")
    model: Any = MODELS.make({"name": "stable-diffusion", "id": str(folder), "precision": precision})[1]
    to = torch.nn.Module.to

    def full(module: torch.nn.Module, *args: Any, **options: Any) -> Any:
        if type(module).__name__ in (kind, "Linear") and "cuda" in map(str, args):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB.")
        return module if "cuda" in map(str, args) else to(module, *args, **options)

    monkeypatch.setattr(torch.nn.Module, "to", full)
    monkeypatch.setattr("tts.networks.placing._invariant", "none")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (int(1.5e9), int(24e9)))
    with pytest.raises(DeviceError) as error:
        model.placed("cuda")
    start = f"out of memory: the weights of {part} take "
    end = f" GB, and cuda has 1.5 of 24.0 GB free; {remedy}stop other programs on it, or use a larger device"
    assert str(error.value).startswith(start)
    assert str(error.value).endswith(end)
    assert str(error.value)[len(start) : -len(end)] == "0.0"  # the tiny network's gigabytes
    with pytest.raises(DeviceError, match=r"the weights of it take 2\.0 GB, .* free; stop"):
        place(torch.nn.Linear(50_000, 20_000, device="meta"), "cuda", torch.float16, part="it")
