"""The pool that a configuration asks for."""

from __future__ import annotations

from bench.pools import LocalPool, Pool
from bench.study import Study


def make_pool(study: Study) -> Pool:
    """An engine in this process, or engine actors on Ray.

    Raises:
        EngineError: engines cannot be had.
    """
    if study.config.engines.backend == "local":
        return LocalPool(study)
    from bench.actors import RayPool  # without Ray unless it is asked for

    return RayPool(study)
