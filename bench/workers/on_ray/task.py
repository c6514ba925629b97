"""One function, once, on a machine of a cluster that has an engine's share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import ray
from ray.exceptions import RayError, RayTaskError

from bench.study.config import Engines
from bench.workers.numerics import environment
from bench.workers.on_ray.cluster import last_line, told_by
from bench.workers.on_ray.connecting import connect
from bench.workers.on_ray.paths import SearchPath, call_on
from tts.errors import EngineError

T = TypeVar("T")


def run_once(engines: Engines, what: str, function: Callable[..., T], *arguments: object) -> T:
    """Call a function as a task with the CPUs and GPUs of one engine.

    Args:
        engines: which cluster, and what an engine has of it.
        what: the setting that asks for it, for messages.

    Raises:
        TTSError: the function's own, or the cluster cannot run it.
    """
    path = SearchPath.own()
    connect(engines, 0)
    try:
        gpus = engines.gpu_share if engines.device == "cuda" else 0
        task = ray.remote(call_on).options(
            num_cpus=0 if gpus else engines.threads, num_gpus=gpus, runtime_env={"env_vars": environment(engines)}
        )
        found: T = ray.get(task.remote(path, function, *arguments))
    except RayTaskError as error:
        raise told_by(error) from None
    except RayError as error:
        raise EngineError(f"{what}: its task was lost ({last_line(error)})") from None
    finally:
        ray.shutdown()
    return found
