"""One function, once, on a machine of a cluster that has an engine's share."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

import ray
from ray.exceptions import GetTimeoutError, RayError, RayTaskError

from bench.study.config import Engines
from bench.workers.numerics import environment
from bench.workers.on_ray.cluster import check_resources, last_line, told_by
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
    connect(engines, engines.count * engines.threads)
    try:
        check_resources(engines)
        gpus = engines.gpu_share if engines.device == "cuda" else 0
        task = ray.remote(call_on).options(
            num_cpus=0 if gpus else engines.threads, num_gpus=gpus, runtime_env={"env_vars": environment(engines)}
        )
        ray.get(task.remote(path, os.getpid), timeout=engines.start_seconds)  # as it may have to wait for a place
        found: T = ray.get(task.remote(path, function, *arguments))
    except GetTimeoutError:
        raise EngineError(
            f"{what}: the cluster has no place for its task within engines.start_seconds = {engines.start_seconds:g}"
        ) from None
    except RayTaskError as error:
        raise told_by(error) from None
    except RayError as error:
        raise EngineError(f"{what}: its task was lost ({last_line(error)})") from None
    finally:
        ray.shutdown()
    return found
