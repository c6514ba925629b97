"""``tts-bench metrics``: add metrics to a run, and compute their values at each of its points."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import yaml

from bench.report.done import images_drawn
from bench.report.metrics import stored_metrics, stored_protocol, write_values
from bench.report.summary import read_trials
from bench.run.featuring import Featured, Featuring
from bench.statistics.set_metrics import set_metrics
from bench.store import reader as store
from bench.store.added import read_added, write_added
from bench.store.storage import Output, Storage, place
from bench.study.named import named
from bench.study.trust import refuse_foreign
from tts.errors import SettingError
from tts.metrics.base import MetricSettings
from tts.models.base import ModelSettings
from tts.registry import METRICS, MODELS


@dataclass(frozen=True)
class Added:
    """Metrics of a run.

    Args:
        metrics: by name.
        values: as :func:`bench.statistics.set_metrics.set_metrics` gives them.
        done: what had to be computed for them.
        drawn: how the images were drawn.
    """

    metrics: dict[str, MetricSettings]
    values: pd.DataFrame
    done: Featured
    drawn: str


def add_metrics(
    output: Output,
    given: Sequence[str],
    device: str,
    batch: int,
    trust: bool,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Added:
    """Compute what features are missing for a run's metrics and for more of them, and the metrics.

    Args:
        given: the user's own, in a configuration's form, as YAML.
        device: of extractors, as :func:`chosen_device` takes it.
        batch: images that an extractor looks at at once.
        trust: manifests may name code, files and addresses.
        progress: told how many of how many trials are done.

    Raises:
        TTSError: a metric cannot be used, or the run cannot be read or written to.
    """
    where, own = place(output), [parsed(text) for text in given]
    trials = read_trials(where)
    _check(where, own, trust)
    metrics = stored_metrics(where, trust, own)
    found = named(METRICS, own)
    twice = next((name for name, metric in found.items() if metrics.get(name, metric) != metric), None)
    if twice is not None:
        raise SettingError(f"metrics: the run has another {twice} already; give this one another name with 'as'")
    new = [each for each, name in zip(own, found, strict=True) if name not in metrics]
    metrics |= found
    if not metrics:
        raise SettingError(f"{where}: its configuration names no metrics; name some with --add")
    chosen = chosen_device(device)
    for metric in metrics.values():
        metric.check()
    done = Featuring(where, metrics, chosen, batch, trust).run(progress)
    if new:
        write_added(where, [*read_added(where), *new])
    values = set_metrics(where, trials, metrics, *stored_protocol(where))
    write_values(values, where)
    return Added(metrics, values, done, images_drawn(where))


def _check(where: Storage, own: list[Any], trust: bool) -> None:
    """Refuse metrics that cannot judge the run's images."""
    given = store.read_manifest(where)["config"].get("model")
    if not trust:
        refuse_foreign({"model": given}, str(where), ["model"])
    model: ModelSettings = MODELS.make(given)[1]
    found = named(METRICS, own)
    model.judged({}, {}, found)
    for metric in found.values():
        metric.suits(model)


def parsed(text: str) -> Any:
    """A metric as the command line names it: a name, or a mapping in YAML.

    Raises:
        SettingError: it is neither.
    """
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        found = None
    if not isinstance(found, str | dict):
        raise SettingError(f"--add {text}: is neither a metric's name nor '{{name: fid, reference: FILE}}'")
    return found


def chosen_device(device: str) -> str:
    """Where extractors compute: ``cpu``, ``cuda``, ``cuda:N``, or ``auto``, which is a GPU if there is one.

    Raises:
        SettingError: it is none of these, or this machine has no such GPU.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:(0|[1-9][0-9]?))?", device):
        raise SettingError(f"--device {device}: is none of auto, cpu, cuda and cuda:N")
    if device == "cpu":
        return device
    import torch

    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto":
        return "cuda" if there else "cpu"
    if not there:
        raise SettingError(f"--device {device}: torch finds no GPU; leave it out, or give --device cpu")
    if int(device.partition(":")[2] or 0) >= there:
        raise SettingError(f"--device {device}: the last GPU that torch finds is cuda:{there - 1}")
    return device
