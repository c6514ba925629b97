"""What a network's precision changes: the same trajectories in each, against float32."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray

from bench.run.trajectories import trajectory
from bench.store.images import decoded
from bench.study.study import Study
from bench.workers.building import build_engine
from tts.engine.requests import EvalRequest
from tts.errors import DeviceMemoryError, SettingError, TTSError, first_line
from tts.networks.quantised import Quantization, can_compute
from tts.noise import Noise, derive_seed
from tts.precision import Precision
from tts.search.segment import ALL, Segment
from tts.settings import parse

if TYPE_CHECKING:
    from tts.engine.batching import Engine

REFERENCE: Precision = "fp32"
TRAJECTORIES = 32


@dataclass(frozen=True)
class Effect:
    """What one precision does to the same trajectories.

    Args:
        name: of the precision.
        levels: largest and mean difference of the images from those in float32, in 8-bit levels.
        rewards: by name, the largest difference and the rank correlation (Spearman) with float32; None: undefined.
        fault: why the precision cannot be had.
    """

    name: str
    levels: tuple[float, float] | None = None
    rewards: dict[str, tuple[float, float | None]] = field(default_factory=dict)
    fault: str | None = None


@dataclass(frozen=True)
class Drawn:
    """Images and rewards of the trajectories, in their order.

    Args:
        images: ``[K, H, W, 3]`` uint8.
        rewards: by name, ``[K]``; NaN: could not be scored.
    """

    images: NDArray[np.uint8]
    rewards: dict[str, NDArray[np.float64]]


def variants(study: Study) -> Iterator[tuple[str, Study]]:
    """The study in every precision that its model may have, float32 first, then with weights in 8 bits, as far as the
    device computes with them.

    Raises:
        SettingError: its model has no such setting.
    """
    settings = type(study.model).model_fields
    if "precision" not in settings:
        raise SettingError(f"model {study.model_name}: has one precision only")
    plain = {"quantization": None} if "quantization" in settings else {}
    for precision in get_args(Precision):
        yield precision, changed(study, {"precision": precision, **plain})
    for kind in get_args(Quantization) if plain else ():
        if can_compute(kind, study.config.engines.device):
            yield f"{kind} weights, bf16", changed(study, {"precision": "bf16", "quantization": kind})


def changed(study: Study, settings: dict[str, Any]) -> Study:
    """A study with its model's settings changed."""
    given = study.config.model
    values: dict[str, Any] = {"name": given} if isinstance(given, str) else dict(given)
    dumped = {**study.config.model_dump(), "model": {**values, **settings}}
    return Study(parse(type(study.config), dumped, "configuration"))


def effects(study: Study, count: int = TRAJECTORIES, watch: Callable[[str], None] = lambda _: None) -> Iterator[Effect]:
    """Draw the same trajectories in each precision, one engine after another.

    Args:
        count: how many trajectories; their conditions are the study's, in turn.
        watch: told of each precision before it is tried.

    Raises:
        TTSError: float32 cannot be had, and so nothing can be compared.
    """
    study.check_draws()
    reference: Drawn | None = None
    for name, variant in variants(study):
        watch(name)
        try:
            found = drawn(variant, count)
        except (TTSError, RuntimeError) as error:
            if reference is None:
                raise
            fault = str(error) if isinstance(error, DeviceMemoryError) else first_line(error)
            yield Effect(name, fault=fault)
            continue
        reference = reference or found
        yield effect(name, reference, found)


def drawn(study: Study, count: int) -> Drawn:
    """The trajectories of a study on an engine of its own in this process."""
    engine: Any = build_engine(study)
    try:
        return _drawn(engine, [_numbered(study, number) for number in range(count)])
    finally:
        engine.close()


def effect(name: str, reference: Drawn, found: Drawn) -> Effect:
    """How far images and rewards are from others of the same trajectories."""
    apart = np.abs(found.images.astype(int) - reference.images)
    rewards: dict[str, tuple[float, float | None]] = {}
    for reward, values in found.rewards.items():
        difference = np.abs(values - reference.rewards[reward])
        if not np.isnan(difference).all():
            rewards[reward] = float(np.nanmax(difference)), rank_correlation(values, reference.rewards[reward])
    return Effect(name, (float(apart.max()), float(apart.mean())), rewards)


def rank_correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float | None:
    """Spearman's, of pairs that both have a value; None where one of them has no order."""
    both = ~(np.isnan(one) | np.isnan(other))
    ranks = [_ranks(values[both]) for values in (one, other)]
    if min(np.ptp(each) if len(each) else 0.0 for each in ranks) == 0:
        return None
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Places in the order from 1, equal values having the mean of theirs: ``scipy.stats`` takes seconds to import."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[places])


def _drawn(engine: Engine, segments: Sequence[Segment]) -> Drawn:
    engine.submit(EvalRequest(ticket, segment) for ticket, segment in enumerate(segments))
    found: dict[int, Any] = {}
    while engine.busy:
        found |= {outcome.ticket: outcome for outcome in engine.advance()}
    outcomes = [found[ticket] for ticket in range(len(segments))]
    images = np.stack([decoded(outcome.image) for outcome in outcomes])
    rewards = {
        name: np.array([np.nan if outcome.scores[name] is None else outcome.scores[name] for outcome in outcomes])
        for name in outcomes[0].scores
    }
    return Drawn(images, rewards)


def _numbered(study: Study, number: int) -> Segment:
    condition = study.conditions[number % len(study.conditions)]
    return trajectory(study.plan, lambda step: Noise(derive_seed("precision", number, step)), condition, ALL)
