"""The control of every search: the same budget spent on steps, without any search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.study.config import RunConfig, with_some_batch
from bench.study.study import Study
from tts.errors import SettingError
from tts.models.base import ModelSettings
from tts.registry import MODELS

MORE_STEPS = "more-steps"
PLAIN = "naive"
MOST_STEPS = 1 << 16


def controls(config: RunConfig) -> list[RunConfig]:
    """Runs of plain samples with as many steps as each point of a run's curves has forwards for, the cheapest first.

    Each is a run of its own in ``OUTPUT/more-steps/STEPS``, since another number of steps is another model. None, if
    ``compute`` does not ask for them.

    Args:
        config: of the run; weights need not be there.

    Raises:
        SettingError: the model's sampler has no number of steps, or no search spends more than plain samples.
    """
    if config.compute != MORE_STEPS:
        return []
    study = Study(with_some_batch(config))
    own, plain = _steps(study.model), study.plan.nfe()
    budgets = sorted({entry.algorithm.nfe(study.plan) for entry in study.entries if entry.name != PLAIN})
    found = sorted({_affordable(config, budget, own) for budget in budgets if budget > plain} - {own})
    if not found:
        raise SettingError("compute: more-steps needs a search whose budget pays for more steps than the model has")
    return [_control(config, steps) for steps in found]


def _control(config: RunConfig, steps: int) -> RunConfig:
    output = config.output
    below = f"{MORE_STEPS}/{steps}"
    changes = {
        "model": _with_steps(config.model, steps),
        "searches": [PLAIN],
        "compute": "search",
        "output": output / below if isinstance(output, Path) else f"{output}/{below}",
    }
    return config.model_copy(update=changes)


def _affordable(config: RunConfig, budget: int, own: int) -> int:
    """The largest number of steps whose plain samples cost no more than a budget."""
    low, high = own, 2 * own
    while high <= MOST_STEPS and _cost(config, high) <= budget:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _cost(config, middle) <= budget else (low, middle)
    return low


def _cost(config: RunConfig, steps: int) -> float:
    """Forwards of plain samples; infinite where the sampler cannot have so many steps."""
    try:
        model: ModelSettings = MODELS.make(_with_steps(config.model, steps))[1]
        return model.plan().nfe()
    except SettingError:
        return float("inf")


def _with_steps(model: Any, steps: int) -> dict[str, Any]:
    given = {"name": model} if isinstance(model, str) else dict(model)
    sampler = given.get("sampler", {})
    named = {"name": sampler} if isinstance(sampler, str) else dict(sampler)
    return {**given, "sampler": {**named, "steps": steps}}


def _steps(model: ModelSettings) -> int:
    steps = getattr(getattr(model, "sampler", None), "steps", None)
    if not isinstance(steps, int):
        raise SettingError("compute: more-steps: this model's sampler has no number of steps")
    return steps
