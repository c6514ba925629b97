"""Load networks of transformers from a folder, with exactly their weights and without pickles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tts.errors import WeightsError
from tts.models.checkpoint import check_safetensors, refuse_adapter, shards
from tts.models.parts import load_part
from tts.quiet import quiet
from tts.rewards.published_configs import read_json

if TYPE_CHECKING:
    import torch


def weight_files(folder: Path, name: str, setting: str = "id") -> list[Path]:
    """The safetensors files of a folder, checked by their headers.

    Args:
        folder: the folder.
        name: the folder as the configuration names it, for messages.
        setting: the setting that names it, for messages.

    Raises:
        WeightsError: there is none, one is missing or damaged, or an adapter is beside them.
    """
    refuse_adapter(folder, f"{setting} {name}")
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise WeightsError(f"{setting} {name}: has no safetensors weights (pickled weights are not opened)")
    listed = {shard for index in folder.glob("*.safetensors.index.json") for shard in shards(index)}
    if lacking := sorted(listed - {file.name for file in files}):
        raise WeightsError(f"{setting} {name}: lacks {', '.join(lacking)[:200]}; download it again")
    for file in files:
        check_safetensors(file)
    return files


def load_network(folder: Path, kind: str, dtype: torch.dtype, setting: str, name: str) -> Any:
    """Load a network with its weights.

    Args:
        folder: the network's folder.
        kind: the network's class in transformers.
        dtype: precision of the weights.
        setting, name: the setting that names the folder, and its value, for messages.

    Raises:
        WeightsError: a file is missing, damaged, or for another network.
    """
    weight_files(folder, name, setting)
    with quiet(), explained(name, setting):
        return load_part(folder, ("transformers", kind), None, dtype)


def architecture(folder: Path, known: Sequence[str], setting: str, name: str) -> str:
    """The network's class in transformers, as a folder's config.json names it.

    Raises:
        WeightsError: it is not a known one.
    """
    found = read_json(folder / "config.json", setting).get("architectures") or ["nothing"]
    if found[0] not in known:
        raise WeightsError(f"{setting} {name}: is a {found[0]}; known: {', '.join(known)}")
    return str(found[0])


def load_processor(folder: Path, setting: str, name: str) -> Any:
    """A network's processor of images and texts; no code of the folder is run.

    Raises:
        WeightsError: its files are missing or damaged.
    """
    from transformers import AutoProcessor

    with quiet(), explained(name, setting):
        return AutoProcessor.from_pretrained(folder, trust_remote_code=False, local_files_only=True)


@contextmanager
def explained(name: str, setting: str) -> Iterator[None]:
    """Turn any error of transformers about files into one line."""
    try:
        yield
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, ImportError) as error:
        line = " ".join(str(error).split())[:300]
        raise WeightsError(f"{setting} {name}: cannot be loaded ({line})") from None
