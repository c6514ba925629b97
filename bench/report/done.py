"""How the number of a set of images was made, in words that stand under each of them."""

from __future__ import annotations

import json
from typing import Any

from bench.store import reader as store
from bench.store.storage import Output
from tts.errors import DataError
from tts.metrics.base import MetricSettings


def about(metric: MetricSettings) -> str:
    """What a metric is of, in words and digests: features, reference, settings."""
    identity = metric.identity()
    parts = [str(identity.pop("extractor"))]
    if "reference" in identity:
        parts.append(f"against {str(identity.pop('reference'))[:12]}")
    return ", ".join([*parts, *(f"{name} = {value}" for name, value in identity.items())])


def images_drawn(output: Output) -> str:
    """How a run's images were drawn, and what is quoted of several sets of them.

    Raises:
        DataError: the manifest does not say.
    """
    manifest = store.read_manifest(output)
    pixels = "pixels rounded to the nearest of 0 to 255"
    try:
        resolved, config = manifest["resolved"], manifest["config"]
        return f"{_problems(resolved)}; {_sampler(resolved['model'])}; {pixels}; {_sets(config)}"
    except (KeyError, TypeError, ValueError, AttributeError):  # of whatever form it is
        raise DataError(f"{output}: its manifest does not say how its images were drawn") from None


def _problems(resolved: dict[str, Any]) -> str:
    kinds, seeds, seed = len(resolved["conditions"]), resolved["seeds"], resolved["seed"]
    if "random" in resolved:
        number = resolved["random"]
        last = f"generation seeds 0 to {number - 1:,} of seed {seed}"
        return f"{number:,} images a point of {kinds:,} conditions drawn at random, {last}"
    last = f"generation seeds 0 to {seeds - 1:,} of seed {seed}"
    return f"{kinds * seeds:,} images a point, {seeds:,} for each of {kinds:,} conditions, {last}"


def _sampler(model: dict[str, Any]) -> str:
    sampler = model.get("sampler")
    given = sampler.items() if isinstance(sampler, dict) else ()
    settings = ", ".join(f"{name} = {value if isinstance(value, str) else json.dumps(value)}" for name, value in given)
    return f"sampled by {model.get('name')}{f' with {settings}' if settings else ''}"


def _sets(config: dict[str, Any]) -> str:
    protocol = config.get("protocol", {})
    repeats = protocol.get("repeats", 1)
    if repeats == 1:
        return "intervals are the jackknife's over images, or Wilson's of shares"
    least = protocol.get("quote") == "min"
    said = "the least value is quoted, with its own set's interval" if least else "the mean is quoted, with Student's"
    return f"divided by their seeds into {repeats} sets, of which {said}"
