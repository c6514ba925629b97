"""Samplers as plug-ins: one form of configuration, old keys, and identities that have not changed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import tiny_pipelines
from own_samplers import Ancestral
from rich.console import Console
from tiny_study import SHIPPED, TINY

from bench.commands.list import Plugins
from bench.report.listing import REGISTRIES
from bench.run import replay
from bench.run.start import run
from bench.store import reader as store
from bench.study.config import RunConfig, load
from bench.study.study import Study
from tts.errors import SettingError, UntrustedError
from tts.models.cifar10 import Cifar10
from tts.registry import MODELS, SAMPLERS
from tts.samplers.ddim import DDIMSettings
from tts.samplers.heun import StochasticHeun
from tts.samplers.interpolant import InterpolantSettings
from tts.samplers.schedules import Sigmas
from tts.settings import parse
from tts.testing.requirement import round_trip
from tts.testing.sampler import SamplerConformance

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parent / "golden_identities.json").read_text())
"""Identities and records of models and digests of studies, made by the version before samplers were plug-ins."""

OLD: dict[str, dict[str, Any]] = {
    "default": {},
    "eta": {"eta": 0.5, "steps": 7},
    "spacing": {"spacing": "trailing", "guidance": 1, "prediction": "epsilon"},
}
NEW: dict[str, dict[str, Any]] = {
    "default": {"sampler": "ddim"},
    "eta": {"sampler": {"name": "ddim", "eta": 0.5, "steps": 7}},
    "spacing": {"sampler": {"spacing": "trailing"}, "guidance": 1, "prediction": "epsilon"},
}
HEUN: dict[str, dict[str, Any]] = {
    "default": {},
    "steps": {"steps": 4},
    "churn": {"steps": 9, "S_churn": 2.5, "rho": 5},
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every latent pipeline, saved once."""
    folder = tmp_path_factory.mktemp("saved")
    return {name: tiny_pipelines.save(make(), folder / name) for name, make in tiny_pipelines.PIPELINES.items()}


@pytest.mark.parametrize("shape", [OLD, NEW], ids=["old", "new"])
@pytest.mark.parametrize("case", OLD)
@pytest.mark.parametrize("name", tiny_pipelines.PIPELINES)
def test_identities_of_latent_models_are_what_they_were(
    name: str, case: str, shape: dict[str, Any], saved: dict[str, Path]
) -> None:
    model: Any = MODELS.make({"name": name, "id": str(saved[name]), **shape[case]})[1]
    identity, record = model.identity(), model.record()
    del identity["weights"], record["id"]
    assert {"identity": identity, "record": record} == GOLDEN[f"{name}-{case}"]


@pytest.mark.parametrize("named", [{}, {"name": "heun"}], ids=["old", "new"])
@pytest.mark.parametrize("case", HEUN)
def test_identities_of_edm_models_are_what_they_were(case: str, named: dict[str, str]) -> None:
    model: Any = MODELS.make({"name": "cifar10", "sampler": {**named, **HEUN[case]}})[1]
    assert {"identity": model.identity(), "record": model.record()} == GOLDEN[f"cifar10-{case}"]
    edm: Any = MODELS.make({"name": "edm", "sampler": {**named, **HEUN[case]}})[1]
    assert edm.record()["sampler"] == model.record()["sampler"]


def test_keys_of_trials_are_what_they_were() -> None:
    study = Study(parse(RunConfig, {**TINY, "model": SHIPPED, "output": "x"}, "here"))
    keys = [trial.key for trial in study.trials()]
    assert keys[:2] == GOLDEN["tiny"]["first"]
    assert hashlib.sha256("".join(keys).encode()).hexdigest() == GOLDEN["tiny"]["keys"]
    assert study.digest() == GOLDEN["tiny"]["digest"]
    for name in ("quickstart", "cifar10-reference"):
        assert Study(load(name)).digest() == GOLDEN[name]["digest"]


@pytest.mark.parametrize("name", tiny_pipelines.PIPELINES)
def test_old_keys_are_read_with_a_note(name: str, saved: dict[str, Path]) -> None:
    old, new = ({"name": name, "id": str(saved[name]), **shape["eta"]} for shape in (OLD, NEW))
    assert MODELS.make(old)[1].old_keys(old) == [
        "steps, eta: the sampler's now; write 'sampler: {name: ddim, steps: 7, eta: 0.5}'"
    ]
    assert MODELS.make(new)[1].old_keys(new) == []
    with pytest.raises(SettingError, match="steps and sampler: give the former inside the latter, once"):
        MODELS.make({**new, "steps": 3})


def test_there_is_a_list_of_samplers() -> None:
    assert [kind.value for kind in Plugins] == list(REGISTRIES)
    assert {name: SAMPLERS.get(name) for name in SAMPLERS.targets} == {
        "ddim": DDIMSettings,
        "heun": StochasticHeun,
        "interpolant": InterpolantSettings,
    }


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"name": "cifar10", "sampler": "huen"}, "unknown sampler 'huen'; did you mean 'heun'?"),
        ({"name": "cifar10", "sampler": {"steps": 1}}, "model cifar10: sampler heun: steps = 1"),
        ({"name": "cifar10", "sampler": 3}, "expected a name or {name: ..., setting: value}"),
        ({"name": "cifar10", "sampler": "own_samplers:Absent"}, "own_samplers:Absent cannot be imported"),
        (
            {"name": "cifar10", "sampler": "ddim"},
            "sampler ddim: steps on time steps of a schedule of betas, and this model has noise levels sigma",
        ),
    ],
)
def test_samplers_that_cannot_be_used_are_named(model: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError) as raised:
        MODELS.make(model)[1].plan()
    assert message in str(raised.value)


def test_heun_needs_levels_that_its_denoiser_is_told(saved: dict[str, Path]) -> None:
    for sampler in ("heun", "own_samplers:Ancestral"):
        with pytest.raises(SettingError, match="and this model has time steps"):
            MODELS.make({"name": "dit", "id": str(saved["dit"]), "sampler": sampler})[1].plan()


def test_a_sampler_of_ones_own_runs_and_replays(tmp_path: Path) -> None:
    """It is named ``module:Class``; its code belongs to the identity, and a foreign manifest cannot name it."""
    given = {**TINY, "rewards": ["brightness"], "searches": ["naive", {"name": "random", "N": 2}], "output": tmp_path}
    given["model"] = {"name": "cifar10", "sampler": {"name": "own_samplers:Ancestral", "steps": 3}}
    study = Study(parse(RunConfig, given, "here"))
    sampler = study.context.model["sampler"]
    assert (sampler["name"], sampler["steps"]) == ("own_samplers:Ancestral", 3)
    assert len(sampler["code"]["source"]) == 64
    run(study.config, Console(quiet=True))
    rows = store.read(tmp_path).to_pylist()
    assert {row["search"]: row["nfe"] for row in rows} == {"naive": 3, "random": 1 + 2 * 2}
    for row in rows:
        assert replay.replay(tmp_path, row["trial"], trust=True).identical
    with pytest.raises(UntrustedError, match="own_samplers:Ancestral"):
        replay.replay(tmp_path, rows[0]["trial"])


def test_a_run_says_how_old_keys_are_written_today(saved: dict[str, Path]) -> None:
    given = {"model": {"name": "dit", "id": str(saved["dit"]), "eta": 0.5}, "rewards": ["brightness"]}
    rest = {"searches": ["naive"], "problems": {"conditions": [3]}, "engines": {"batch": 2}, "output": "x"}
    notes = Study(parse(RunConfig, {**given, **rest}, "here")).notes()
    assert notes == ["eta: the sampler's now; write 'sampler: {name: ddim, eta: 0.5}'"]


class TestOwnSampler(SamplerConformance):
    """The user's sampler keeps to the rules of every sampler."""

    @pytest.fixture
    def sampler(self) -> Any:
        return Ancestral(steps=5).on(Sigmas())


def test_a_record_of_an_own_sampler_reads_back() -> None:
    """A record states the sampler's code, which is no setting."""
    model = parse(Cifar10, {"sampler": {"name": "own_samplers:Ancestral", "steps": 6}}, "model")
    assert model.record()["sampler"]["code"]["target"] == "own_samplers:Ancestral"
    round_trip(model)
