"""States that were computed last: rows that go on together take them as they are, and what is left is written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from tts.samplers.base import Position


class Block:
    """Positions that were computed together, ``[R, *shape]``, and the slot of each."""

    def __init__(self, slots: Sequence[int], at: Position) -> None:
        self.slots, self.at = list(slots), at


class Unwritten(NamedTuple):
    """Rows of a block that belong into slots, and their places in it; None: they are the whole block."""

    slots: list[int]
    places: list[int] | None
    at: Position


class LastStates:
    """Positions by their slots, from the pass that computes them to the next one.

    To write a state to its slot and to read it again is two ways through memory. Where all rows of a group go on in the
    same order, and nobody else holds a state of theirs, neither is needed.
    """

    def __init__(self) -> None:
        self._blocks: dict[int, Block] = {}

    def add(self, slots: Sequence[int], at: Position) -> None:
        """Hold positions that belong into slots; what was held for the same ones is forgotten."""
        block = Block(slots, at)
        self._blocks.update(dict.fromkeys(block.slots, block))

    def whole(self, slots: Sequence[int]) -> Position | None:
        """The positions of some slots, if they are all that were computed together, in that order."""
        block = self._blocks.get(slots[0])
        if block is None or block.slots != list(slots) or not self._complete(block):
            return None
        return block.at

    def forget(self, slots: Iterable[int]) -> None:
        """Hold the states of these slots no longer."""
        for slot in slots:
            self._blocks.pop(slot, None)

    def unwritten(self, slots: Iterable[int] | None = None) -> Iterator[Unwritten]:
        """What was computed together with the states of some slots, None: all; from then on it is held no longer."""
        if not self._blocks:
            return
        met = self._blocks.values() if slots is None else map(self._blocks.get, slots)
        for block in [block for block in dict.fromkeys(met) if block is not None]:
            places = None if self._complete(block) else self._left(block)
            left = block.slots if places is None else [block.slots[place] for place in places]
            self.forget(left)
            yield Unwritten(left, places, block.at)

    def _complete(self, block: Block) -> bool:
        return all(self._blocks.get(slot) is block for slot in block.slots)

    def _left(self, block: Block) -> list[int]:
        return [place for place, slot in enumerate(block.slots) if self._blocks.get(slot) is block]
