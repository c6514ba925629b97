"""States of single trajectories that are computed many at a time.

A sampler's step reads like its published algorithm, on one trajectory. On an engine its tensors are :class:`Row` s:
arithmetic on them is written down on a tape, and the tapes of many trajectories are worked off together
(:mod:`tts.engine.row_pool`), equal ones as one, with their numbers as tensors ``[B, 1, ...]``. So the device is asked
for as many operations whether a batch has 16 rows or 256.
"""

from __future__ import annotations

import operator
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from tts.noise import Noise


class Source(Enum):
    """Where a row's value comes from."""

    TAPE = "an operation that is not worked off yet"
    SLOT = "the pool"
    ANSWER = "the denoiser's last answers"
    NOISE = "a noise that is made when it is needed"
    TENSOR = "a tensor by itself"


class Operation(NamedTuple):
    """An operation on a tape, with the number that it takes left out.

    Args:
        code: its name.
        left, right: its operands; -1 for the tape's next number.
        bounds: of a clamp.
    """

    code: str
    left: int
    right: int = -1
    bounds: tuple[float | None, float | None] | None = None


class Tape:
    """What one trajectory computes between two of its calls.

    Attributes:
        values: what its operations are on: of itself and of others.
        operations: by the place of their results among the values.
        numbers: those of its operations, in turn.
    """

    def __init__(self) -> None:
        self.values: list[Value] = []
        self.operations: list[Operation | None] = []
        self.numbers: list[float] = []

    def place(self, value: Value) -> int:
        """The place of a value, which is put here if it comes from elsewhere."""
        if value.tape is self:
            return value.at
        for place, known in enumerate(self.values):
            if known is value:
                return place
        self.values.append(value)
        self.operations.append(None)
        return len(self.values) - 1

    def result(self, operation: Operation) -> Value:
        """The value that an operation will give."""
        value = Value(Source.TAPE, len(self.values), self)
        self.values.append(value)
        self.operations.append(operation)
        return value


class Value:
    """What a row stands for.

    Args:
        source: where it comes from.
        at: its place there.
        tape: its tape, if that is not worked off yet.
        given: the noise or the tensor.
    """

    __slots__ = ("at", "given", "rows", "source", "tape")

    def __init__(self, source: Source, at: int = -1, tape: Tape | None = None, given: Noise | Tensor | None = None):
        self.source, self.at, self.tape, self.given, self.rows = source, at, tape, given, 0


class Recorder(Protocol):
    """What rows need of their pool."""

    tape: Tape
    shape: tuple[int, ...]
    free: list[int]

    def flush(self) -> None:
        """Work off all tapes."""
        ...

    def tensor(self, row: Row) -> Tensor:
        """A copy of a row's value, ``shape``."""
        ...


class Row:
    """A tensor of one trajectory, without a batch dimension: ``+ - * /`` of rows and numbers, and ``clamp``.

    All else is done on its value as a tensor, at once, and is correct but slow.
    """

    __slots__ = ("pool", "value")

    def __init__(self, pool: Recorder, value: Value) -> None:
        self.pool, self.value = pool, value
        value.rows += 1

    def __del__(self) -> None:
        value = self.value
        value.rows -= 1
        if not value.rows and value.source is Source.SLOT:
            self.pool.free.append(value.at)

    @property
    def shape(self) -> torch.Size:
        """Its shape."""
        return torch.Size(self.pool.shape)

    def clamp(self, min: float | None = None, max: float | None = None) -> Any:
        """Values in ``[min, max]``."""
        if not all(bound is None or type(bound) in (int, float) for bound in (min, max)):
            return self.tensor().clamp(min, max)
        place = self._place()
        return Row(self.pool, self.pool.tape.result(Operation("clamp", place, bounds=(min, max))))

    def tensor(self) -> Tensor:
        """Its value."""
        return self.pool.tensor(self)

    def _place(self) -> int:
        """Its place on the tape that is being written."""
        value = self.value
        if value.source is Source.TAPE and value.tape is not self.pool.tape:
            self.pool.flush()
        return self.pool.tape.place(value)

    def _with(self, code: str, other: Any, swapped: bool = False) -> Any:
        if type(other) is Row:
            if other.pool is not self.pool:
                return getattr(operator, code)(self.tensor(), other.tensor())
            left, right = self._both(other)
        elif type(other) is float or type(other) is int:
            left, right = self._place(), -1
            self.pool.tape.numbers.append(float(other))
        else:
            own = self.tensor()
            return getattr(own, f"__r{code}__" if swapped else f"__{code}__")(other)
        if swapped:
            left, right = right, left
        return Row(self.pool, self.pool.tape.result(Operation(code, left, right)))

    def _both(self, other: Row) -> tuple[int, int]:
        """The places of two rows; the second one's may have begun a new tape."""
        self._place()
        right = other._place()
        return self._place(), right

    def __add__(self, other: Any) -> Any:
        return self._with("add", other)

    def __radd__(self, other: Any) -> Any:
        return self._with("add", other)

    def __sub__(self, other: Any) -> Any:
        return self._with("sub", other)

    def __rsub__(self, other: Any) -> Any:
        return self._with("sub", other, swapped=True)

    def __mul__(self, other: Any) -> Any:
        return self._with("mul", other)

    def __rmul__(self, other: Any) -> Any:
        return self._with("mul", other)

    def __truediv__(self, other: Any) -> Any:
        return self._with("truediv", other)

    def __getattr__(self, name: str) -> Any:
        if name in Row.__slots__:  # one that was never made whole
            raise AttributeError(name)
        return getattr(self.tensor(), name)

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return function(*_tensors(args), **_tensors(kwargs or {}))


def _tensors(given: Any) -> Any:
    """Rows among arguments as tensors."""
    if isinstance(given, Row):
        return given.tensor()
    if isinstance(given, dict):
        return {key: _tensors(each) for key, each in given.items()}
    return type(given)(_tensors(each) for each in given) if type(given) in (tuple, list) else given


def _slowly(name: str) -> Any:
    def method(self: Row, *args: Any) -> Any:
        return getattr(self.tensor(), name)(*_tensors(args))

    return method


for _name in ["abs", "eq", "ge", "getitem", "gt", "le", "len", "lt", "matmul", "ne", "neg", "pow", "rpow", "rtruediv"]:
    setattr(Row, f"__{_name}__", _slowly(f"__{_name}__"))
Row.__hash__ = object.__hash__  # type: ignore[method-assign]
