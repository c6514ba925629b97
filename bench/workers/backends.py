"""The pool that a configuration asks for."""

from __future__ import annotations

from bench.study.study import Study
from bench.workers.pool import LocalPool, Pool
from bench.workers.search_worker import make_worker


def make_pool(study: Study) -> Pool:
    """An engine in this process, or engine actors on Ray.

    Raises:
        EngineError: engines cannot be had.
    """
    if study.config.engines.backend == "local":
        return _local(study)
    from bench.workers.on_ray.pool import RayPool  # without Ray unless it is asked for

    return RayPool(study)


def _local(study: Study) -> LocalPool:
    if study.config.scorers is None or not study.computes_rewards:
        return LocalPool(study, make_worker(study))
    from bench.workers.scorers.processes import ScorerProcesses

    scorers = ScorerProcesses(study)
    try:
        return LocalPool(study, make_worker(study, scorers), scorers)
    except BaseException:
        scorers.close()
        raise
