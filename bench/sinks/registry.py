"""Sinks by name; other packages add theirs through the entry-point group ``tts.sinks``."""

from __future__ import annotations

from bench.sinks.base import SinkSettings
from tts.registry import Registry

SINKS: Registry[SinkSettings] = Registry(
    "sink",
    "tts.sinks",
    {
        "mlflow": "bench.sinks.mlflow:MLflow",
        "tensorboard": "bench.sinks.tensorboard:TensorBoard",
        "wandb": "bench.sinks.wandb:WandB",
    },
)
