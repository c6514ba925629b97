"""Whether a device makes noises of the same bits as every other device."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from bench.run.doctor.finding import Finding, judged
from bench.study.config import Engines
from tts.noise import Band, Box, Mixture, Noise, Turn

KINDS = (
    Noise(1).moved(2, 0.15),
    Noise(1).with_move(Turn(3, 0.3)),
    Noise(1).with_move(Mixture((4, 5, 6), (0.2, -0.3, 0.7), 0.1)),
    Noise(1).with_move(Box(7, 0.8, 0.5)),
    Noise(1).with_move(Band(2, tuple(0.1 * k for k in range(3 * 16 * 16)))),
    Noise(1).moved(2, 0.15).moved(8, 0.15).with_move(Turn(9, 0.5)),
)
"""A recipe with each kind of move, and one with several."""

SHAPE = (3, 64, 64)


def noises(engines: Engines) -> Iterator[Finding]:
    """A million values against their digest, and recipes of all kinds of moves against the CPU's."""
    import torch

    from tts.device_noise.bank import DeviceBank
    from tts.device_noise.normals import MILLION_SHA256, million

    values = million(engines.device).cpu().numpy().astype("<f4")
    plain = hashlib.sha256(values.tobytes()).hexdigest() == MILLION_SHA256
    here, there = (DeviceBank(SHAPE, device).tensor(KINDS).cpu() for device in ("cpu", engines.device))
    moved = torch.equal(here, there)
    seen = "the same bits as everywhere" if plain and moved else f"other bits ({'moves' if plain else 'values'})"
    advice = "leave engines.noise at host, and tell us what this device is: it should give the same bits"
    yield judged("numerics", "noises made on the device", seen, plain and moved, advice, bad=engines.noise == "device")
