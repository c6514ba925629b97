"""A device as an engine sees it: work is queued and measured without waiting for it.

On a CPU, everything is done when a call returns. A GPU works through its queue: code that asks for a value waits for
all work queued before it, and meanwhile the queue runs empty. So an engine keeps a second batch queued and asks for no
value of the newest one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor

ORIGIN_SECONDS = 10.0
"""Seconds after which a GPU's times are counted from a newer event, as a time between two events has only 24 bits."""


class DeviceQueue(Protocol):
    """A queue of work on a device.

    Attributes:
        ahead: batches that may be queued beyond the one that is awaited.
        overlaps: whether a separate thread should score images, on a second queue of the device.
    """

    ahead: int
    overlaps: bool

    def mark(self) -> Any:
        """A point in the queue, after all work queued so far."""
        ...

    def wait(self, mark: Any) -> None:
        """Block until the device has reached a point."""
        ...

    def seconds(self, begin: Any, end: Any) -> float:
        """The device's time between two points that it has passed."""
        ...

    def at(self, mark: Any) -> float:
        """When the device reached a point that it has passed, in seconds of :func:`time.perf_counter`."""
        ...

    def beside(self, mark: Any) -> Any:
        """A context whose work goes to a second queue, after a point of this one."""
        ...


class CpuQueue:
    """The CPU: a point is a time."""

    ahead = 0
    overlaps = False

    def __init__(self) -> None:
        # An allocator that has seen a large tensor freed keeps memory of such sizes. Otherwise each temporary of a
        # batch of states would need new pages from the system, which cost several times the computation on them.
        torch.empty(31 << 20, dtype=torch.uint8)

    def mark(self) -> float:
        """The present, in seconds of :func:`time.perf_counter`."""
        return time.perf_counter()

    def wait(self, mark: float) -> None:
        """Do nothing: all work is done."""

    def seconds(self, begin: float, end: float) -> float:
        """Seconds between two times."""
        return end - begin

    def at(self, mark: float) -> float:
        """The time itself."""
        return mark

    @contextmanager
    def beside(self, mark: float) -> Iterator[None]:
        """Do nothing: there is no second queue."""
        yield


class CudaQueue:
    """A GPU: a point is an event."""

    ahead = 1
    overlaps = True

    def __init__(self, device: str) -> None:
        self._side: Any = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        start = self.mark()
        start.synchronize()
        self._origin = start, time.perf_counter()

    def mark(self) -> torch.cuda.Event:
        """An event after all work that is queued on the current stream."""
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event

    def wait(self, mark: torch.cuda.Event) -> None:
        """Block until the event has happened; it becomes the origin of times if the old origin is too long ago."""
        mark.synchronize()
        if (now := self.at(mark)) > self._origin[1] + ORIGIN_SECONDS:
            self._origin = mark, now

    def seconds(self, begin: torch.cuda.Event, end: torch.cuda.Event) -> float:
        """Seconds between two events that have happened."""
        return float(begin.elapsed_time(end)) / 1e3

    def at(self, mark: torch.cuda.Event) -> float:
        """When the event happened, in seconds of :func:`time.perf_counter`, counted from the origin."""
        origin, seconds = self._origin
        return seconds + float(origin.elapsed_time(mark)) / 1e3

    @contextmanager
    def beside(self, mark: torch.cuda.Event) -> Iterator[None]:
        """Read results before leaving the context; afterwards their memory may be reused."""
        with torch.cuda.stream(self._side):
            self._side.wait_event(mark)
            yield


def queue_of(device: str) -> DeviceQueue:
    """The queue of a device."""
    return CudaQueue(device) if device.startswith("cuda") else CpuQueue()


def upload(values: Tensor, device: torch.device | str) -> Tensor:
    """Copy a tensor from the host to a device, without waiting for work that is queued there."""
    kind = torch.device(device).type
    if kind == "cpu":
        return values
    if kind != "cuda":
        return values.to(device)
    return values.contiguous().pin_memory().to(device, non_blocking=True)  # rows of one value cannot be pinned
