"""Spread a network over several devices: consecutive blocks share a device, and inputs move to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

_devices: ContextVar[tuple[str, ...]] = ContextVar("devices of the denoiser", default=())


@contextmanager
def spread_over(devices: Sequence[str]) -> Iterator[None]:
    """Within this context, load denoisers onto several devices, with states on the first; fewer than two: no change."""
    token = _devices.set(tuple(devices))
    try:
        yield
    finally:
        _devices.reset(token)


def devices_of_denoiser() -> tuple[str, ...]:
    """The devices for a denoiser in this context; fewer than two: it goes on the device that is asked for."""
    return _devices.get()


def shares(network: nn.Module, devices: int) -> dict[str, int]:
    """Assign blocks to devices, in the network's order and with about equal bytes.

    Args:
        network: its blocks are its children and the items of lists among these.
        devices: number of devices.

    Returns:
        The device's index by the block's name; parameters outside all blocks belong to the first device.
    """
    blocks = dict(_blocks(network))
    sizes = {name: sum(tensor.nbytes for tensor in block.state_dict().values()) for name, block in blocks.items()}
    whole, before, found = max(1, sum(sizes.values())), 0, dict[str, int]()
    for name, size in sizes.items():
        found[name] = min(devices - 1, int(devices * (before + size / 2) / whole))
        before += size
    return found


def spread(network: nn.Module, devices: Sequence[str], part: str | None = None) -> nn.Module:
    """Put a network's blocks on several devices; its inputs and its output are on the first.

    If a network has parameters outside its blocks, each block's output returns to the first device;
    otherwise it goes directly to the next block.

    Args:
        network: in host memory.
        devices: states are on the first.
        part: the network's name in messages.

    Raises:
        DeviceError: a device's memory is too small for its share.
    """
    from accelerate.hooks import AlignDevicesHook, add_hook_to_module

    from tts.networks.placing import place

    places = shares(network, len(devices))
    loose = [*network.named_parameters(recurse=False), *network.named_buffers(recurse=False)]
    for name, block in _blocks(network):
        device = devices[places[name]]
        place(block, device, part=f"{part}'s {name}" if part else name)
        add_hook_to_module(block, AlignDevicesHook(execution_device=device, io_same_device=bool(loose)))
    for _, tensor in loose:
        tensor.data = tensor.data.to(devices[0])
    network.eval().requires_grad_(False)
    add_hook_to_module(network, AlignDevicesHook(execution_device=devices[0], io_same_device=True))
    return network


def _blocks(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    from torch import nn

    for name, child in network.named_children():
        if isinstance(child, nn.ModuleList):
            yield from ((f"{name}.{place}", block) for place, block in enumerate(child))
        else:
            yield name, child
