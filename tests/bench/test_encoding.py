"""A study's prompts are encoded once, before its engines start; where encodings are kept changes no row."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import tiny_pipelines
from diffusers import StableDiffusionPipeline
from rich.console import Console
from tiny_study import TINY

from bench.run.encoding import encode_prompts
from bench.run.start import run
from bench.store import reader as store
from bench.study.config import RunConfig
from bench.study.study import Study
from bench.workers.building import build_engine
from bench.workers.prompts import lacking_of, store_of
from tts.errors import SettingError
from tts.models import encoding
from tts.prompts import lengthened
from tts.settings import parse

PROMPTS = ["a tench", "a cat"]
MODELS: dict[str, dict[str, Any]] = {
    "stable-diffusion": {"sampler": {"steps": 2}},
    "diffusers": {"sampler": {"steps": 2}, "size": 16, "precision": "fp32"},
}
"""Two models with the same weights: a family, and ``diffusers``."""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_pipelines.save(tiny_pipelines.stable_diffusion(), tmp_path_factory.mktemp("sd") / "it")


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def config(saved: Path, output: Path, model: str = "stable-diffusion", **engines: Any) -> RunConfig:
    given = {
        **TINY,
        "model": {"name": model, "id": str(saved), **MODELS[model]},
        "rewards": ["brightness"],
        "searches": ["naive"],
        "problems": {"conditions": PROMPTS},
        "engines": {**TINY["engines"], **engines},
        "output": output,
    }
    return parse(RunConfig, given, "here")


@pytest.mark.slow
def test_a_run_encodes_once_and_its_rows_are_those_without_a_store(
    model: str, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[list[str | None]] = []
    real = encoding._encode

    def counted(model: Any, prompts: list[str | None], *rest: Any) -> None:
        encoded.append(prompts)
        real(model, prompts, *rest)

    monkeypatch.setattr(encoding, "_encode", counted)
    folder, rows = str(tmp_path / "prompts"), []
    said = StringIO()
    for name, where in (("a", folder), ("b", folder), ("c", "memory")):
        run(config(saved, tmp_path / name, model, prompts=where), Console(file=said))
        rows.append([(row["trial"], row["image_sha256"]) for row in store.read(tmp_path / name).to_pylist()])
    assert encoded == [[None, *PROMPTS, lengthened(PROMPTS[0])]]
    assert sorted(rows[0]) == sorted(rows[1]) == sorted(rows[2])
    assert "4/4 prompts encoded" in said.getvalue()


def test_an_engine_has_no_text_encoder(
    model: str, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = Study(config(saved, tmp_path / "run", model, prompts=str(tmp_path / "prompts")))
    encode_prompts(study, Console(quiet=True))
    kind, parts = type(study.model), list[Any]()
    real: Any = kind.pipeline
    monkeypatch.setattr(
        kind, "pipeline", lambda self, wanted=None: parts.append(sorted(wanted or [])) or real(self, wanted)
    )
    build_engine(study)
    assert parts == [["unet", "vae"]]


def test_on_a_cluster_one_task_encodes(
    model: str, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = Study(config(saved, tmp_path / "run", model, prompts=str(tmp_path / "prompts"), backend="ray"))
    calls: list[str] = []

    def run_once(engines: Any, what: str, function: Any, *arguments: Any) -> Any:
        calls.append(what)
        return function(*arguments)

    monkeypatch.setattr("bench.workers.on_ray.task.run_once", run_once)
    assert lacking_of(study) == 4
    encode_prompts(study, Console(quiet=True))
    encode_prompts(study, Console(quiet=True))
    assert (calls, lacking_of(study)) == (["engines.prompts"], 0)


@pytest.mark.parametrize("backend", ["local", "ray"])
def test_a_pipeline_that_cannot_encode_apart_is_said_at_every_start(
    backend: str, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def needs_all(self: Any, prompt: Any, *_: Any, **__: Any) -> Any:
        raise ValueError("[the whole] is needed")

    monkeypatch.setattr(StableDiffusionPipeline, "encode_prompt", needs_all)
    monkeypatch.setattr("bench.workers.on_ray.task.run_once", lambda _, __, function, *given: function(*given))
    study = Study(config(saved, tmp_path / "run", "diffusers", prompts=str(tmp_path / "prompts"), backend=backend))
    for lacks in (4, 0):
        said = StringIO()
        assert lacking_of(study) == lacks
        encode_prompts(study, Console(file=said, width=1000))
        assert f"every engine loads the text encoders, as prompts of {saved} cannot be" in said.getvalue()
        assert "([the whole] is needed)" in said.getvalue()


def test_where_they_are_encoded_belongs_to_the_identity_where_it_changes_bits(saved: Path, tmp_path: Path) -> None:
    assert "encode_on" not in config(saved, tmp_path, encode_on="cpu").engines.numerics()
    on_gpu = config(saved, tmp_path, device="cuda", encode_on="cpu").engines
    assert on_gpu.numerics()["encode_on"] == "cpu"
    stored = store_of(on_gpu)
    assert stored is not None
    assert stored.computed == {"device": "cpu", "threads": 1}
    with pytest.raises(SettingError, match="encode_on: cpu needs prompts"):
        config(saved, tmp_path, encode_on="cpu", prompts="memory")


def test_a_simulated_engine_needs_none(saved: Path, tmp_path: Path) -> None:
    study = Study(config(saved, tmp_path / "run", simulate=0.0))
    assert store_of(study.config.engines) is None
    assert lacking_of(study) == 0
