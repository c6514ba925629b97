"""Encoded prompts on disk: each is encoded once, by one process, and read by all engines."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from tts.errors import SettingError
from tts.settings import canonical

if TYPE_CHECKING:
    from filelock import BaseFileLock
    from torch import Tensor

Encoded: TypeAlias = "Mapping[str, Tensor]"
"""An encoded prompt: tensors by name, without a batch dimension."""

FORMAT = 1
"""Version of the file format; it changes when older files cannot be used."""
HOST_BYTES = 2 << 30
"""Most bytes of encoded prompts that a process keeps in host memory."""


class Recent:
    """A cache of the most recently used encoded prompts, bounded in bytes.

    Args:
        limit: most bytes; the newest encoding stays even if it is larger.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.bytes = limit, 0
        self._kept: OrderedDict[str | None, Encoded] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: str | None) -> Encoded | None:
        """The encoding of a key, which becomes the newest; None if it is not kept."""
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def put(self, key: str | None, encoded: Encoded) -> None:
        """Keep a new encoding, and drop the oldest ones beyond the limit."""
        self._kept[key] = encoded
        self.bytes += size(encoded)
        while self.bytes > self.limit and len(self._kept) > 1:
            self.bytes -= size(self._kept.popitem(last=False)[1])


def size(encoded: Encoded) -> int:
    """Bytes of an encoded prompt."""
    return sum(tensor.nbytes for tensor in encoded.values())


class PromptStore:
    """Encoded prompts as safetensors in a folder, which several processes and machines may share.

    Args:
        folder: created on the first write.
        computed: settings that can change an encoding's last bit: device and threads.
        host_bytes: most bytes of encodings to keep in host memory.
    """

    def __init__(self, folder: Path, computed: Mapping[str, Any], host_bytes: int = HOST_BYTES) -> None:
        self.folder, self.computed = folder, dict(computed)
        self._recent = Recent(host_bytes)

    def key(self, encoder: Mapping[str, Any], prompt: str | None) -> str:
        """Digest of everything that an encoding depends on.

        Args:
            encoder: identity of the encoders and of how they are used.
            prompt: the prompt; None: the negative prompt, away from which guidance leads.
        """
        text = canonical({"format": FORMAT, "encoder": encoder, "computed": self.computed, "prompt": prompt})
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    def path(self, key: str) -> Path:
        """Path at which an encoding is, or would be."""
        return self.folder / key[:2] / f"{key}.safetensors"

    def lacking(self, encoder: Mapping[str, Any], prompts: Iterable[str | None]) -> list[str | None]:
        """The prompts whose encodings are missing, each once."""
        return [prompt for prompt in dict.fromkeys(prompts) if not self.path(self.key(encoder, prompt)).is_file()]

    def read(self, key: str) -> Encoded | None:
        """An encoding in host memory; None if it is missing, or damaged (it is then deleted)."""
        from safetensors import SafetensorError
        from safetensors.torch import load

        found = self._recent.get(key)
        if found is None:
            try:
                found = load(self.path(key).read_bytes())
            except FileNotFoundError:
                return None
            except SafetensorError:
                self.path(key).unlink(missing_ok=True)
                return None
            except OSError as error:
                raise self._unusable(error) from None
            self._recent.put(key, found)
        return found

    def write(self, key: str, encoded: Encoded) -> None:
        """Store an encoding, whole or not at all.

        Raises:
            SettingError: the folder cannot be written to.
        """
        from safetensors.torch import save

        path = self.path(key)
        part = path.with_name(f"{uuid.uuid4().hex}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(save({name: tensor.detach().cpu().contiguous() for name, tensor in encoded.items()}))
            part.replace(path)
        except OSError as error:
            raise self._unusable(error) from None
        finally:
            part.unlink(missing_ok=True)

    def lock(self, encoder: Mapping[str, Any]) -> BaseFileLock:
        """A lock held by the process that encodes.

        Raises:
            SettingError: the folder cannot be written to.
        """
        from filelock import FileLock

        name = hashlib.sha256(canonical(encoder).encode()).hexdigest()[:32]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not os.access(self.folder, os.W_OK):
                raise PermissionError(13, "Permission denied")
        except OSError as error:
            raise self._unusable(error) from None
        return FileLock(self.folder / f"{name}.lock")

    def _unusable(self, error: OSError) -> SettingError:
        return SettingError(
            f"engines.prompts: {self.folder} cannot be used ({error.strerror or error}); name a folder that all "
            "engines can write to"
        )


Source: TypeAlias = "Callable[[Any, str], Callable[[str | None], Encoded]]"
"""Function from a model's settings and a device to a function that encodes a prompt."""

_current: ContextVar[Source | None] = ContextVar("source of encoded prompts", default=None)


def current_source() -> Source | None:
    """The source of encoded prompts for models loaded now; None: they encode prompts themselves."""
    return _current.get()


@contextmanager
def prompts_by(source: Source | None) -> Iterator[None]:
    """Context in which models load without text encoders and get encoded prompts from a source; None: no change."""
    token = _current.set(source)
    try:
        yield
    finally:
        _current.reset(token)
