"""MLflow: a tracking server, or a file on this machine."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from bench.sinks.base import CurvePoint, RunFacts, SinkSettings, Tracker

IDENTITY = "tts_bench.identity"
ENDED = {"done": "FINISHED", "stopped": "KILLED"}
BATCH = 500
"""Metrics a call; a server takes 1000."""


class MLflow(SinkSettings):
    """MLflow: metrics, images and curves of a run of an experiment; a server's password is its own environment's."""

    package: ClassVar[str] = "mlflow"
    extra: ClassVar[str] = "mlflow"
    uri: str | None = Field(
        None, description="http://HOST:PORT, sqlite:///FILE, ...; left out: $MLFLOW_TRACKING_URI, or MLflow's default"
    )
    experiment: str = Field("tts-bench", min_length=1, description="made if it is not there")

    def open(self, run: RunFacts) -> Tracker:
        """A run, or the one with this identity."""
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=self.uri)
        found = client.get_experiment_by_name(self.experiment)
        experiment = client.create_experiment(self.experiment) if found is None else found.experiment_id
        known = client.search_runs([experiment], f"tags.`{IDENTITY}` = '{run.identity}'", max_results=1)
        if known:
            client.update_run(known[0].info.run_id, status="RUNNING")
            return MLflowRun(client, known[0].info.run_id)
        tags = {IDENTITY: run.identity, "output": run.output}
        made = client.create_run(experiment, tags=tags, run_name=run.name).info.run_id
        client.log_dict(made, dict(run.config), "config.json")
        return MLflowRun(client, made)


class MLflowRun:
    """A run of MLflow; the step of a curve's point is its forwards."""

    def __init__(self, client: Any, run: str) -> None:
        self._client, self._run = client, run

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        """Metrics."""
        self._log((name, value, step) for name, value in values.items())

    def image(self, name: str, png: bytes, step: int) -> None:
        """An artifact below images/."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / f"{re.sub('[^A-Za-z0-9_.=-]+', '_', name)}.png"
            file.write_bytes(png)
            self._client.log_artifact(self._run, str(file), "images")

    def curves(self, points: Sequence[CurvePoint], step: int) -> None:
        """Metrics over forwards, and all of them as a table."""
        self._log((f"curve/{point.reward}/{point.curve}", point.mean, round(point.nfe)) for point in points)
        self._client.log_dict(self._run, {"curves": [point._asdict() for point in points]}, "curves.json")

    def end(self, state: str) -> None:
        """Finished, or killed; either may go on."""
        self._client.set_terminated(self._run, ENDED[state])

    def _log(self, values: Iterable[tuple[str, float, int]]) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        metrics = [Metric(named(name), value, now, step) for name, value, step in values]
        for first in range(0, len(metrics), BATCH):
            self._client.log_batch(self._run, metrics=metrics[first : first + BATCH])


def named(name: str) -> str:
    """A metric's name in the characters that MLflow takes."""
    return re.sub(r"[^\w\-. :/]", "_", name)
