"""The Ray cluster that engines run on: its free places, and the meaning of its errors."""

from __future__ import annotations

import re

import ray
from ray.exceptions import RayTaskError

from bench.study.config import Engines
from tts import errors
from tts.errors import EngineError, TTSError, first_line


def check_resources(engines: Engines) -> int:
    """How many engines the machines of the cluster have place for, if nothing else uses them.

    Raises:
        EngineError: a cluster of this machine alone has no place for all; Ray would wait for ever.
    """
    if engines.simulate is not None:
        return engines.count
    gpu = engines.device == "cuda"
    kind, each = ("GPU", engines.gpu_share) if gpu else ("CPU", engines.threads)
    nodes = [node["Resources"].get(kind, 0) for node in ray.nodes() if node["Alive"]]
    places = sum(int(found / each + 1e-6) for found in nodes)
    if places < engines.count and engines.address == "local":
        remedy = "lower engines.count or set engines.device=cpu" if gpu else "lower engines.count or engines.threads"
        raise EngineError(
            f"engines.count = {engines.count}: each needs {each:g} {kind} of one machine, and the cluster has place "
            f"for {places}; {remedy}"
        )
    return min(places, engines.count)


def told_by(error: RayTaskError) -> TTSError:
    """Our own error if an engine raised one, else one that says where it came from."""
    cause = error.cause
    if isinstance(cause, TTSError):
        return cause
    return EngineError(f"an engine failed: {first_line(cause or error)}")


def ours_in(error: BaseException) -> TTSError | None:
    """Our own error, where an actor's constructor raised one: Ray hands on only its text."""
    found = re.search(r"tts\.errors\.(\w+): (.+)", str(error))
    if found is None:
        return None
    kind: type[TTSError] = getattr(errors, found[1], EngineError)
    return kind(found[2])


def last_line(error: BaseException) -> str:
    """The last line that says anything: that of the cause, where there is a traceback."""
    return next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)
