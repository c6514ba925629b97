"""Results of a pipeline's ``encode_prompt`` as named tensors, and the results for several prompts as one result."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from tts.errors import SettingError, WeightsError

if TYPE_CHECKING:
    from torch import Tensor

    from tts.models.prompt_store import Encoded

Place: TypeAlias = "tuple[tuple[str, int, int], ...]"
"""Position of a tensor in nested tuples and lists: kind, length and index, from the outside in."""

KINDS = {"t": tuple, "l": list}
PART = re.compile(r"([tl])(\d{1,4})_(\d{1,4})", re.ASCII)
MOST = 4096
"""Most members of a tuple or a list."""
REFUSAL = "refusal"
"""Name of the text stored for a prompt that cannot be encoded separately."""
WORDS = 200
"""Most characters of that text."""


def flattened(results: Sequence[Any]) -> dict[str, Tensor]:
    """Flatten nested tensors, tuples, lists and Nones to tensors whose names state their positions.

    Args:
        results: results of all calls of ``encode_prompt`` that a pipeline makes for one prompt, in their order.

    Raises:
        SettingError: the results hold another type, or a tensor of a network without weights.
    """
    return {".".join(f"{kind}{size}_{at}" for kind, size, at in place): t for place, t in _tensors(list(results), ())}


def _tensors(value: Any, place: Place) -> list[tuple[Place, Tensor]]:
    import torch

    if value is None:
        return []
    if isinstance(value, torch.Tensor) and not value.is_meta:
        return [(place, value.detach().clone())]
    if not isinstance(value, tuple | list):
        what = "a tensor without values" if isinstance(value, torch.Tensor) else f"a {type(value).__name__}"
        raise SettingError(f"model diffusers: its encode_prompt returns {what}, which is not an encoded prompt")
    kind = "t" if isinstance(value, tuple) else "l"
    inner = [_tensors(each, (*place, (kind, len(value), at))) for at, each in enumerate(value)]
    return [found for each in inner for found in each]


def restored(encoded: Encoded) -> list[Any]:
    """The inverse of :func:`flattened`; an empty position becomes None.

    Raises:
        WeightsError: the names do not have that form.
    """
    found = _nested([(_place(name), tensor) for name, tensor in encoded.items()])
    return found if isinstance(found, list) else []


def _place(name: str) -> Place:
    found = [PART.fullmatch(part) for part in name.split(".")]
    place = tuple((part[1], int(part[2]), int(part[3])) for part in found if part is not None)
    if len(place) < len(found) or not all(at < size <= MOST for _, size, at in place):
        raise WeightsError(
            f"encoded prompt: {name[:80]!r} is not a tensor's position; delete the folder of engines.prompts"
        )
    return place


def _nested(tensors: list[tuple[Place, Any]]) -> Any:
    if not tensors:
        return None
    if not tensors[0][0]:
        return tensors[0][1]
    kind, size, _ = tensors[0][0][0]
    if any(place[:1] == () or place[0][:2] != (kind, size) for place, _ in tensors):
        raise WeightsError("encoded prompt: its tensors have different forms; delete the folder of engines.prompts")
    members: list[list[tuple[Place, Any]]] = [[] for _ in range(size)]
    for place, tensor in tensors:
        members[place[0][2]].append((place[1:], tensor))
    return KINDS[kind](map(_nested, members))


def refusal(why: str) -> dict[str, Tensor]:
    """The store's entry for prompts that only the whole pipeline can encode."""
    import torch

    return {REFUSAL: torch.frombuffer(bytearray(why[:WORDS].encode() or b"-"), dtype=torch.uint8)}


def refused(encoded: Mapping[str, Tensor]) -> str | None:
    """The reason in an entry made by :func:`refusal`; None for an encoding."""
    if REFUSAL not in encoded:
        return None
    text = bytes(encoded[REFUSAL].flatten().tolist()).decode(errors="replace")
    return "".join(each for each in text[:WORDS] if each.isprintable())


def together(rows: Sequence[Any]) -> Any:
    """The result of ``encode_prompt`` for several prompts, from the result for each prompt.

    Raises:
        SettingError: encodings have different lengths, or they differ but have no first dimension of prompts.
    """
    import torch

    first = rows[0]
    if isinstance(first, tuple):
        return tuple(together([row[place] for row in rows]) for place in range(len(first)))
    if isinstance(first, list):
        return [each for row in rows for each in row]
    if not isinstance(first, torch.Tensor):
        return first
    if any(row.shape != first.shape for row in rows):
        raise SettingError(
            "model diffusers: its prompts have encodings of different lengths, which cannot be stacked; set "
            "engines.batch to 1"
        )
    if len(first) == 1:
        return torch.cat(list(rows))
    if not all(row is first or torch.equal(row, first) for row in rows):
        raise SettingError(
            "model diffusers: encodings of different prompts cannot be separated; set engines.batch to 1"
        )
    return first
