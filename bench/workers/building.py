"""Build the engine of a study on this machine, and check that its rows are independent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from bench.study.search_checks import check_shape
from bench.study.study import Study
from bench.workers.kernels import with_kernels
from bench.workers.numerics import set_numerics
from bench.workers.prompts import load_model
from bench.workers.scorers.pooled import ScorerPool, with_scorers
from bench.workers.simulated import SimulatedEngine
from tts.engine.recorded import RecordedEngine
from tts.errors import EngineError
from tts.metrics.base import Metric
from tts.models.table import Table

if TYPE_CHECKING:
    from tts.engine.batching import Engine
    from tts.models.base import Model
    from tts.rewards.base import Reward


def build_engine(
    study: Study, batches: Sequence[int] = (), scorers: ScorerPool | None = None
) -> Engine | SimulatedEngine | RecordedEngine:
    """The engine of a study on this machine, checked to keep rows apart; of a table, what looks rewards up in it.

    Args:
        scorers: compute some of the rewards.
        batches: sizes to try in this order, the first that keeps rows apart is taken; none: the study's own.

    Raises:
        EngineError: the device is not there, or a row's result depends on the rows beside it.
    """
    engines = study.config.engines
    if engines.simulate is not None:
        return SimulatedEngine(study)
    if isinstance(study.model, Table):
        return RecordedEngine(study.model.table, study.rewards)
    import torch

    from tts.engine.device_errors import named

    if engines.device == "cuda" and not torch.cuda.is_available():
        raise EngineError("engines.device: cuda is asked for, but torch finds no GPU; set engines.device=cpu")
    set_numerics(engines)
    with named(engines.batch):
        return _build(study, batches or [engines.batch], scorers)


def _build(study: Study, batches: Sequence[int], scorers: ScorerPool | None) -> Engine:
    from tts.engine.batching import Engine, flops_of

    engines, condition = study.config.engines, study.conditions[0]
    model = load_model(study)
    check_shape(study.entries, model.shape)
    flops = flops_of(model, condition, engines.device)
    model = with_kernels(model, engines)
    second = engines.reward_device
    rewards = with_scorers(
        list(study.rewards), lambda name: study.rewards[name].load(second, study.model.caption), scorers
    )
    metrics = load_metrics(study, second)
    batch = _first_sound(study, model, Judges(rewards, metrics), batches, second)
    engine = Engine(
        model,
        rewards,
        batch,
        engines.device,
        engines.score_batch,
        second,
        metrics=metrics,
        host_threads=engines.host_threads,
        noise_threads=engines.noise_threads,
        noise=engines.noise,
    )
    engine.flops = flops
    return engine


def load_metrics(study: Study, device: str) -> dict[str, Metric]:
    """The extractors of a study's metrics, each once."""
    settings = {metric.extractor: metric for metric in study.metrics.values()}
    return {extractor: metric.load(device) for extractor, metric in settings.items()}


class Judges(NamedTuple):
    """Judges of images: rewards by name, and extractors of features by their descriptions."""

    rewards: Mapping[str, Reward]
    metrics: Mapping[str, Metric]


def _first_sound(study: Study, model: Model, judges: Judges, batches: Sequence[int], second: str) -> int:
    """The first batch whose rows do not depend on one another; EngineError, with what keeps from the first: none."""
    obstacles: list[str] = []
    for batch in batches:
        obstacle = _obstacle(study, model, judges, batch, second)
        if obstacle is None:
            return batch
        obstacles.append(obstacle)
    raise EngineError(obstacles[0])


def _obstacle(study: Study, model: Model, judges: Judges, batch: int, second: str) -> str | None:
    """A sentence on what lets a row of a batch depend on the rows beside it; None: nothing."""
    from tts.engine.batching import rows_are_independent
    from tts.engine.features import first_dependent_features
    from tts.engine.score_checks import first_dependent_score

    engines, condition = study.config.engines, study.conditions[0]
    if not rows_are_independent(model, batch, condition, engines.device):
        return (
            f"engines.batch = {batch}: on this device a row's result depends on the rows beside it, so that no "
            "result could be repeated; try another batch size"
        )
    scored = engines.score_batch or batch
    dependent = first_dependent_score(
        model, judges.rewards, scored, condition, engines.device, second
    ) or first_dependent_features(model, judges.metrics, scored, engines.device, second)
    if dependent is None:
        return None
    return (
        f"engines.score_batch = {scored}: on this device {dependent} lets an image's value depend on the images "
        "beside it, so that no result could be repeated; try another one"
    )
