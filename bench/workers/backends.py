"""The pool that a configuration asks for."""

from __future__ import annotations

from bench.study.study import Study
from bench.workers.pool import LocalPool, Pool, Worker, build_engine
from bench.workers.search_worker import SearchWorker


def make_pool(study: Study) -> Pool:
    """An engine in this process, or engine actors on Ray.

    Raises:
        EngineError: engines cannot be had.
    """
    if study.config.engines.backend == "local":
        return LocalPool(study, make_worker(study))
    from bench.workers.on_ray.pool import RayPool  # without Ray unless it is asked for

    return RayPool(study)


def make_worker(study: Study) -> Worker:
    """An engine, with the searches of its trials beside it if that is how the study runs."""
    engine = build_engine(study)
    return SearchWorker(study, engine) if study.beside else engine
