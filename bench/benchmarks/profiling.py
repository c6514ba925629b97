"""Where an engine's main loop spends its time, function by function."""

from __future__ import annotations

import cProfile
import pstats
from collections import Counter
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.benchmarks.harness import endless
from bench.benchmarks.windows import Length, Window, steady
from bench.study.study import Study
from bench.workers.backends import make_pool

NETWORK = ("/torch/nn/", "/tts/models/", "/diffusers/", "/transformers/", "/torch/_dynamo/")
"""Parts of the paths of files that belong to the network."""

HERE = Path(__file__).parents[2]


@dataclass(frozen=True)
class Profile:
    """A window of a loop with searches and engine in one thread.

    Args:
        window: the engine's own figures; the profiler makes the host's part of them larger.
        seconds: seconds seen by the profiler.
        network: seconds in functions of the network.
        host: seconds in every other function itself, without its callees.
        operations: seconds in torch's operations themselves, if requested.
    """

    window: Window
    seconds: float
    network: float
    host: dict[str, float]
    operations: dict[str, float]

    def words(self, top: int = 3) -> str:
        """The figures as a sentence or two."""
        shares = self.window.shares()
        named = ", ".join(f"{name} ({_percent(s / self.seconds)})" for name, s in _largest(self.host, top).items())
        parts = {
            "forward passes": "denoiser",
            "decoding": "decode",
            "rewards": "reward",
            "noises": "noise",
            "waiting": "idle",
            "everything else": "host",
        }
        told = ", ".join(f"{_percent(shares[part])} {name}" for name, part in parts.items())
        words = f"Of {self.seconds:.1f} s: {told}."
        return f"{words} Outside the network most time went to {named}." if named else words

    def record(self, top: int = 20) -> dict[str, Any]:
        """The figures as plain values."""
        return {
            "words": self.words(),
            "window": self.window.record(),
            "seconds": self.seconds,
            "network": self.network,
            "host": _largest(self.host, top),
            "operations": _largest(self.operations, top),
        }


def profile(study: Study, length: Length, operations: bool = False) -> Profile:
    """Profile a study's searches and one engine in this process.

    Args:
        study: with ``backend: local``.
        operations: profile torch's operations instead of Python's functions; the two would slow each other down.
    """
    fed = endless(study, "driver")
    with closing(make_pool(fed)) as pool:
        steady(fed, pool, Length(0.5, length.warm_up))
        if operations:
            torch_profiler = _torch_profiler(study)
            window = steady(fed, pool, Length(length.seconds, 0.0), around=torch_profiler)
            return Profile(window, window.seconds, 0.0, {}, _operations(torch_profiler))
        functions = cProfile.Profile()
        window = steady(fed, pool, Length(length.seconds, 0.0), around=functions)
    network, host = split(pstats.Stats(functions))
    return Profile(window, network + sum(host.values()), network, host, {})


def split(stats: pstats.Stats) -> tuple[float, dict[str, float]]:
    """Seconds of the network's functions, and of every other one by its name.

    A builtin's time goes to who called it: ``torch.stack`` is the network's or the engine's.
    """
    network, host = 0.0, Counter[str]()
    for function, (_, _, own, _, callers) in stats.stats.items():  # type: ignore[attr-defined]
        if function[0] != "~":
            parts = [(function, _name(function), own)]
        else:
            parts = [(caller, f"{_name(caller)} > {_builtin(function[2])}", c[2]) for caller, c in callers.items()]
        for owner, name, seconds in parts:
            if any(part in Path(owner[0]).as_posix() for part in NETWORK):
                network += seconds
            else:
                host[name] += seconds
    return network, dict(host)


def _name(function: tuple[str, int, str]) -> str:
    """``tts/engine/batching.py:_forward``."""
    path, _, name = function
    if path == "~":
        return _builtin(name)
    file = Path(path)
    ours = file.is_relative_to(HERE) and "site-packages" not in path
    return f"{(file.relative_to(HERE) if ours else Path(*file.parts[-2:])).as_posix()}:{name}"


def _builtin(name: str) -> str:
    """``torch.stack`` of ``<built-in method torch.stack>``."""
    bare = name.strip("<>").split(" of ")[0].split(" at ")[0]
    return bare.removeprefix("built-in method ").removeprefix("method ").removeprefix("function ").strip("'")


def _torch_profiler(study: Study) -> AbstractContextManager[Any]:
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as torch_profile

    cuda = [ProfilerActivity.CUDA] if study.config.engines.device == "cuda" else []
    return torch_profile(activities=[ProfilerActivity.CPU, *cuda], acc_events=True)


def _operations(profiler: Any) -> dict[str, float]:
    """Seconds of each operation itself: on the device, where there is one, else on the CPU."""
    events = profiler.key_averages()
    on_device = {event.key: event.self_device_time_total / 1e6 for event in events if event.self_device_time_total}
    return on_device or {event.key: event.self_cpu_time_total / 1e6 for event in events}


def _largest(seconds: dict[str, float], top: int) -> dict[str, float]:
    return dict(Counter(seconds).most_common(top))


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
