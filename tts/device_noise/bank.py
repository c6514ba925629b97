"""A cache of noise tensors on the device; all missing ones are made at once."""

from __future__ import annotations

import math
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from tts.device_noise.moves import kind, moved
from tts.device_noise.normals import normal
from tts.engine.device_queue import upload
from tts.noise import KEEP_BYTES, Noise


class DeviceBank:
    """Tensors of noises of one shape; their bits depend neither on the device nor on what is kept.

    A noise's moves are applied one after another, for many noises together. A kept tensor of its first moves saves the
    work for these.

    Args:
        shape: shape of a noise.
        device: where tensors are made.
        keep_bytes: most bytes of the tensors that are kept.
    """

    def __init__(self, shape: tuple[int, ...], device: str, keep_bytes: int = KEEP_BYTES) -> None:
        self.shape, self.device = shape, torch.device(device)
        self.keep = max(2, keep_bytes // (4 * math.prod(shape)))
        self.made = 0
        """Tensors made so far."""
        self._kept = torch.empty(0, *shape, device=self.device)
        self._slots: OrderedDict[Noise, int] = OrderedDict()

    def __contains__(self, noise: Noise) -> bool:
        """Whether a noise's tensor is kept."""
        return noise in self._slots

    def tensor(self, noises: Sequence[Noise]) -> Tensor:
        """The tensors of k noises, ``[k, *shape]`` float32.

        Raises:
            ValueError: a move does not fit the shape.
        """
        room = self.keep // 2  # a noise, and the one of its seed
        parts = [noises[start : start + room] for start in range(0, len(noises), room)]
        return torch.cat([self._some(part) for part in parts])

    def make(self, noises: Iterable[Noise]) -> None:
        """Make the tensors that are missing; there may be at most half as many noises as the bank keeps.

        Raises:
            ValueError: a move does not fit the shape.
        """
        missing = list(dict.fromkeys(noise for noise in noises if not self._touched(noise)))
        if missing:
            begun = {noise: self._beginning(noise) for noise in missing}
            self._plain({Noise(noise.seed) for noise, start in begun.items() if start is None})
            self._moved({noise: Noise(noise.seed, noise.moves[: start or 0]) for noise, start in begun.items()})
            self.made += len(missing)

    def _some(self, noises: Sequence[Noise]) -> Tensor:
        self.make(noises)
        return self._read(noises)

    def _touched(self, noise: Noise) -> bool:
        """Whether a tensor is kept; if so, it becomes the last to make room for others."""
        if noise not in self._slots:
            return False
        self._slots.move_to_end(noise)
        return True

    def _beginning(self, noise: Noise) -> int | None:
        """Number of first moves up to which the noise is kept; None if not even the noise of its seed is."""
        for kept in range(len(noise.moves), -1, -1):
            if self._touched(Noise(noise.seed, noise.moves[:kept])):
                return kept
        return None

    def _plain(self, noises: set[Noise]) -> None:
        """Make the noises of some seeds."""
        some = sorted(noises - self._slots.keys())
        if some:
            seeds = upload(torch.tensor([noise.seed for noise in some]), self.device)
            self._keep_all(some, normal(seeds, math.prod(self.shape)).view(-1, *self.shape))

    def _moved(self, starts: dict[Noise, Noise]) -> None:
        """Make noises from kept ones with fewer moves."""
        wanted = [noise for noise, start in starts.items() if noise != start]
        if not wanted:
            return
        rows = self._read([starts[noise] for noise in wanted])
        left = [noise.moves[len(starts[noise].moves) :] for noise in wanted]
        for turn in range(max(map(len, left))):
            groups: defaultdict[tuple[str | int, ...], list[int]] = defaultdict(list)
            for row, moves in enumerate(left):
                if turn < len(moves):
                    groups[kind(moves[turn])].append(row)
            for places in groups.values():
                at = upload(torch.tensor(places), self.device)
                rows.index_copy_(0, at, moved(rows.index_select(0, at), [left[row][turn] for row in places]))
        self._keep_all(wanted, rows)

    def _read(self, noises: Sequence[Noise]) -> Tensor:
        return self._kept.index_select(0, upload(torch.tensor([self._slots[each] for each in noises]), self.device))

    def _keep_all(self, noises: Sequence[Noise], tensors: Tensor) -> None:
        places = upload(torch.tensor([self._slot(noise) for noise in noises]), self.device)
        self._kept.index_copy_(0, places, tensors)

    def _slot(self, noise: Noise) -> int:
        """A slot for a noise; a full bank gives that of the least recently used one."""
        used = len(self._slots)
        if used == self.keep:
            _, used = self._slots.popitem(last=False)
        elif used == len(self._kept):
            larger = torch.empty(min(self.keep, max(64, 2 * used)), *self.shape, device=self.device)
            larger[:used] = self._kept
            self._kept = larger
        self._slots[noise] = used
        return used
