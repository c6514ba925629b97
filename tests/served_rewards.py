"""Rewards behind an address, like those of ``tts-bench serve``, and images to ask about."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import torch

from bench.workers.serving.http import Server
from bench.workers.serving.served import Served
from bench.workers.serving.service import RewardService

IMAGES = torch.randint(0, 256, (5, 3, 8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


@contextmanager
def running(served: Served) -> Iterator[str]:
    """A server in a thread, on a free port of the loopback address."""
    with (
        closing(RewardService(served)) as service,
        Server(service, "127.0.0.1", 0, served.most_bytes) as server,
    ):
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.address
        server.shutdown()
