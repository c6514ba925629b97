"""One tensor of all states on a device, and the tapes of :mod:`tts.engine.rows` worked off together.

The same bits as each row by itself: every operation is element by element, numbers are rounded to the state's precision
as torch rounds those of Python, and a GPU's division by a number is, as in torch, a product with its reciprocal.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from tts.engine.device_queue import upload
from tts.engine.rows import Operation, Row, Source, Tape, Value
from tts.noise import Array, Noise

FIRST = 64
"""Slots of a pool at first; it grows by as many as it has."""

OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "truediv": operator.truediv,
}


class Group(NamedTuple):
    """Equal tapes, and the places of their values that are still needed."""

    tapes: list[Tape]
    kept: tuple[int, ...]


class RowPool:
    """States of one shape on one device.

    Args:
        shape: of a state.
        make: a noise's values, float32 of that shape.

    Attributes:
        answers: the denoiser's last answers, ``[B, *shape]``.
        tape: what is being written.
        free: slots that nobody needs.
    """

    def __init__(self, shape: tuple[int, ...], device: str, make: Callable[[Noise], Array]) -> None:
        self.shape, self.device, self._make = shape, device, make
        self.answers: Tensor | None = None
        self.tape, self._tapes = Tape(), list[Tape]()
        self.free: list[int] = []
        self._states = torch.empty((0, *shape), device=device)
        self._by_reciprocal = torch.device(device).type == "cuda"

    def begin(self) -> None:
        """Begin another trajectory's tape."""
        if self.tape.values:
            self._tapes.append(self.tape)
            self.tape = Tape()

    def noise(self, noise: Noise) -> Tensor:
        """A row of a noise, which is made when it is needed."""
        return self._row(Value(Source.NOISE, given=noise))

    def answer(self, place: int) -> Tensor:
        """A row of :attr:`answers`, and the beginning of its trajectory's tape."""
        self.begin()
        value = Value(Source.ANSWER, place)
        self.tape.place(value)
        return self._row(value)

    def row(self, tensor: Tensor) -> Tensor:
        """A tensor as a row, if it is none yet."""
        return tensor if isinstance(tensor, Row) else self._row(Value(Source.TENSOR, given=tensor))

    @torch.inference_mode()
    def gather(self, rows: Sequence[Tensor], size: int) -> Tensor:
        """Rows as a batch ``[size, *shape]``, the first one repeated in the places that are left."""
        values = [cast(Row, row).value for row in rows]
        self._settle(values)
        places = [value.at for value in values]
        return self._states.index_select(0, self._upload([*places, *places[:1] * (size - len(places))]))

    @torch.inference_mode()
    def tensor(self, row: Row) -> Tensor:
        """A copy of a row's value, ``shape``."""
        self._settle([row.value])
        return self._states[row.value.at].clone()

    def _row(self, value: Value) -> Tensor:
        return cast(Tensor, Row(self, value))  # it stands for one, and samplers know no other

    def _settle(self, values: Iterable[Value]) -> None:
        """Put values into the pool that are not there yet."""
        loose = {value: None for value in values if value.source in (Source.NOISE, Source.TENSOR)}
        for value in loose:
            self.begin()
            self.tape.place(value)
        self.begin()
        if self._tapes:
            self._flush(set(loose))

    @torch.inference_mode()
    def flush(self) -> None:
        """Work off all tapes."""
        self._settle(())

    def _flush(self, settled: set[Value]) -> None:
        """Work off the tapes; put into the pool what somebody still needs of their results, and some other values."""
        groups = self._grouped(settled)
        self._tapes = []
        inputs, numbers = self._inputs(groups), self._numbers(groups)
        keeping: list[Value] = []
        results: list[Tensor] = []
        for group in groups:
            found = _worked_off(group.tapes[0].operations, inputs, numbers, self._by_reciprocal)
            for place in group.kept:
                keeping += [tape.values[place] for tape in group.tapes]
                results.append(found[place])
        if keeping:
            self._keep(keeping, results)

    def _grouped(self, settled: set[Value]) -> list[Group]:
        """Equal tapes together: of the same operations on values of the same sources, of which the same are needed."""
        groups: dict[Any, Group] = {}
        for tape in self._tapes:
            kept = tuple(place for place, value in enumerate(tape.values) if _kept(value, settled))
            key = (*tape.operations, *(value.source for value in tape.values), kept)
            groups.setdefault(key, Group([], kept)).tapes.append(tape)
        return list(groups.values())

    def _inputs(self, groups: Sequence[Group]) -> Any:
        """The values that tapes take from elsewhere, ``[B, ...]`` each, in the order in which they take them."""
        wanted = [
            (group.tapes[0].values[place].source, [tape.values[place] for tape in group.tapes])
            for group in groups
            for place, operation in enumerate(group.tapes[0].operations)
            if operation is None
        ]
        of = {source: [values for each, values in wanted if each is source] for source in Source}
        made = {source: iter(self._fetched(source, lists)) for source, lists in of.items() if lists}
        return iter([next(made[source]) for source, _ in wanted])

    def _fetched(self, source: Source, lists: Sequence[Sequence[Value]]) -> Sequence[Tensor]:
        flat = [value for values in lists for value in values]
        if source is Source.NOISE:
            made = np.stack([self._make(cast(Noise, value.given)) for value in flat])
            together = upload(torch.from_numpy(made), self.device)
        elif source is Source.TENSOR:
            together = torch.stack([cast(Tensor, value.given) for value in flat])
        else:
            held = self.answers if source is Source.ANSWER else self._states
            assert held is not None  # whoever speaks of an answer has had one
            together = held.index_select(0, self._upload([value.at for value in flat]))
        return together.split_with_sizes([len(values) for values in lists])

    def _numbers(self, groups: Sequence[Group]) -> Any:
        """The tapes' numbers, ``[B, 1, ...]`` each, in the order in which they take them."""
        found: list[Any] = []
        for group in groups:
            numbers = np.array([tape.numbers for tape in group.tapes], dtype=np.float32).T  # rounded as torch does
            for place, each in enumerate(_numbered(group.tapes[0].operations) if self._by_reciprocal else ()):
                if each.code == "truediv":
                    numbers[place] = np.float32(1) / numbers[place]
            found += list(numbers)
        if not found:
            return iter(())
        together = torch.from_numpy(np.concatenate(found).reshape(-1, *[1] * len(self.shape)))
        return iter(upload(together, self.device).split_with_sizes([len(each) for each in found]))

    def _keep(self, values: Sequence[Value], results: Sequence[Tensor]) -> None:
        """Put results into slots."""
        if len(self.free) < len(values):
            self._grow(len(values))
        slots = [self.free.pop() for _ in values]
        together = results[0] if len(results) == 1 else torch.cat(list(results))
        self._states.index_copy_(0, self._upload(slots), together)
        for value, slot in zip(values, slots, strict=True):
            if value.source is Source.SLOT or not value.rows:  # kept by another tape; let go meanwhile
                self.free.append(slot)
            else:
                value.source, value.at, value.tape, value.given = Source.SLOT, slot, None, None

    def _grow(self, by: int) -> None:
        old = len(self._states)
        more = max(FIRST, old, by)
        room = torch.empty((more, *self.shape), device=self.device)
        self._states = torch.cat([self._states, room])
        self.free += range(old, old + more)

    def _upload(self, places: Sequence[int]) -> Tensor:
        return upload(torch.from_numpy(np.array(places, dtype=np.int64)), self.device)


def _kept(value: Value, settled: set[Value]) -> bool:
    """Whether somebody needs a value after this, and cannot have it then from where it comes from."""
    if value.source in (Source.TAPE, Source.ANSWER):
        return value.rows > 0
    return value in settled


def _numbered(operations: Iterable[Operation | None]) -> list[Operation]:
    """The operations that take a number."""
    return [each for each in operations if each is not None and each.bounds is None and -1 in (each.left, each.right)]


def _worked_off(operations: Sequence[Operation | None], inputs: Any, numbers: Any, by_reciprocal: bool) -> list[Tensor]:
    """All values of equal tapes, ``[B, ...]`` each; numbers by which is divided may be reciprocals."""
    found: list[Tensor] = []
    for each in operations:
        if each is None:
            found.append(next(inputs))
        elif each.bounds is not None:
            found.append(found[each.left].clamp(*each.bounds))
        else:
            left = next(numbers) if each.left < 0 else found[each.left]
            right = next(numbers) if each.right < 0 else found[each.right]
            code = "mul" if by_reciprocal and each.code == "truediv" and each.right < 0 else each.code
            found.append(OPERATIONS[code](left, right))
    return found
