"""Where and in which order segments run changes nothing: every row is the same, bit for bit."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from local_rows import Rows, rows_of
from tiny_study import SHIPPED, TINY

from bench.store.row import TrialRow
from bench.study.config import Engines, RunConfig
from bench.study.study import Study
from bench.workers.backends import make_pool
from bench.workers.on_ray.connecting import connect
from bench.workers.on_ray.task import run_once
from bench.workers.pool import LocalPool
from tts.engine.requests import EvalRequest, EvalResult
from tts.errors import DeviceError, EngineError, SettingError
from tts.noise import from_record
from tts.search.segment import ALL, Segment

Make = Callable[..., RunConfig]


@pytest.fixture(scope="module")
def reference() -> dict[str, dict[str, Any]]:
    """Rows of the tiny study on the local pool."""
    study = Study(RunConfig.model_validate({**TINY, "output": "unused"}))
    return rows_of(study, LocalPool(study))


def test_every_trial_has_its_own_row(reference: dict[str, dict[str, Any]], tiny: Make) -> None:
    study = Study(tiny())
    assert set(reference) == {trial.key for trial in study.trials()}
    images = {row["image"] for row in reference.values() if row["reward"] == "brightness"}
    assert len(images) > len(reference) / 3 / 2  # searches that choose different noises draw different images


def test_sharing_work_changes_no_row(reference: dict[str, dict[str, Any]], tiny: Make) -> None:
    study = Study(tiny(engines={"share": False}))
    assert rows_of(study, LocalPool(study)) == reference


def test_searches_beside_the_engine_in_this_process(reference: dict[str, dict[str, Any]], tiny: Make) -> None:
    study = Study(tiny(engines={"search_on": "engine", "oversupply": 1.0}))
    assert rows_of(study, make_pool(study), shuffle=2) == reference


def test_ray_actors_in_another_order(
    reference: dict[str, dict[str, Any]], tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run starts its own cluster; modules in the working folder do not disturb it, whatever their names."""
    for name in ("bench", "tts", "yaml", "statistics"):
        (tmp_path / f"{name}.py").write_text("raise AssertionError('imported from the working folder')\n")
    monkeypatch.chdir(tmp_path)
    study = Study(tiny(engines={"backend": "ray", "count": 2, "search_on": "driver"}))
    handler = signal.getsignal(signal.SIGTERM)
    pool = make_pool(study)
    assert signal.getsignal(signal.SIGTERM) is handler  # Ray's own handler would store nothing
    assert rows_of(study, pool, shuffle=3) == reference


def test_scorers_on_ray_one_of_which_is_lost(
    reference: dict[str, dict[str, Any]], tiny: Make, ray_address: str
) -> None:
    """Searches run beside their engines, on an existing cluster; a scorer dies after the first row."""
    import ray

    engines = {"backend": "ray", "address": ray_address, "count": 2, "search_on": "engine"}
    study = Study(tiny(engines=engines, scorers={"rewards": ["class_probability"]}))
    pool = make_pool(study)

    class Spoilt(Rows):
        def add(self, row: TrialRow) -> None:
            if not self.rows:
                ray.kill(pool._scorers._actors[0], no_restart=False)  # type: ignore[attr-defined]
            super().add(row)

    assert rows_of(study, pool, rows=Spoilt()) == reference


def test_searches_run_beside_many_engines_or_with_many_trials(tiny: Make) -> None:
    def beside(**engines: Any) -> bool:
        return Study(tiny(engines={"backend": "ray", **engines})).beside

    assert Study(tiny()).size == 54
    assert beside(count=3, batch=9)  # each row of a batch stands for two trials
    assert not beside(count=3, batch=10)
    assert beside(count=17, batch=10)
    assert not beside(count=3, batch=9, search_on="driver")
    assert not beside(count=1, batch=9, backend="local")


def test_nfe_of_a_row_is_the_formula(reference: dict[str, dict[str, Any]], tiny: Make) -> None:
    study = Study(tiny())
    for trial in study.trials():
        spent, formula = reference[trial.key]["nfe"], trial.algorithm.nfe(study.plan)
        exact = trial.search != "mcts" or trial.algorithm.S <= trial.algorithm.N  # type: ignore[attr-defined]
        assert spent == formula if exact else 0 < spent <= formula


def test_every_row_can_be_made_again_from_its_recipe(reference: dict[str, dict[str, Any]], tiny: Make) -> None:
    study = Study(tiny())
    trials = list(study.trials())[::7]
    rows = [reference[trial.key] for trial in trials]
    recipes = [[from_record(record) for record in row["noises"]] for row in rows]
    requests = [
        EvalRequest(k, Segment(first, tuple(others), trial.condition, ALL))  # type: ignore[arg-type]
        for k, (trial, (first, *others)) in enumerate(zip(trials, recipes, strict=True))
    ]
    found: dict[int, EvalResult] = {}
    with closing(LocalPool(study)) as pool:
        pool.submit(0, requests, [])
        while len(found) < len(trials):
            found |= {outcome.ticket: outcome for report in pool.wait() for outcome in report.outcomes}
    for k, (trial, row) in enumerate(zip(trials, rows, strict=True)):
        assert found[k].image == row["image"]
        assert found[k].scores[trial.reward] == row["value"]


def test_more_engines_than_the_cluster_has_place_for_are_refused(
    tiny: Make, ray_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = Engines(address=ray_address)
    monkeypatch.setattr("bench.workers.on_ray.pool.connect", lambda *_: connect(shared, 0))
    with pytest.raises(EngineError, match=r"engines\.count = 99: each needs 1 GPU.*place for 0.*engines\.device=cpu"):
        make_pool(Study(tiny(engines={"backend": "ray", "count": 99, "device": "cuda"})))


@pytest.mark.parametrize("backend", ["local", "ray"])
def test_a_search_of_another_shape_ends_a_run_at_its_start(backend: str, tiny: Make, ray_address: str) -> None:
    searches = ["naive", {"name": "ses", "shape": [3, 64, 64]}]
    told = r"^search ses: shape = \[3, 64, 64\], and the model's states are \[3, 32, 32\] .*; set shape to these"
    with pytest.raises(SettingError, match=told):
        make_pool(Study(tiny(searches=searches, engines={"backend": backend, "address": ray_address, "count": 1})))


def test_a_task_runs_elsewhere_or_is_refused_in_time(ray_address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray would wait for ever for a machine that a cluster has not."""
    shared = Engines(address=ray_address)
    assert run_once(shared, "engines.prompts", os.getpid) != os.getpid()
    lacking = Engines(address=ray_address, device="cuda", start_seconds=0.5)
    with pytest.raises(EngineError, match=r"engines\.prompts: the cluster has no place for its task within .* = 0\.5"):
        run_once(lacking, "engines.prompts", os.getpid)
    monkeypatch.setattr("bench.workers.on_ray.task.connect", lambda *_: connect(shared, 0))
    with pytest.raises(EngineError, match=r"engines\.count = 1: each needs 1 GPU.*place for 0.*engines\.device=cpu"):
        run_once(Engines(device="cuda"), "engines.prompts", os.getpid)


def test_cuda_without_a_gpu_is_refused(tiny: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(EngineError, match=r"engines\.device=cpu"):
        make_pool(Study(tiny(engines={"device": "cuda"})))


@pytest.mark.parametrize(("gpus", "places"), [(1.0, 10), (0.5, 20), (2.0, 4)])
def test_engines_may_share_a_gpu_or_have_several(
    gpus: float, places: int, tiny: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All GPUs of an engine are on one machine: a node with three has room for one engine with two."""
    import ray

    from bench.workers.on_ray.cluster import check_resources

    nodes = [{"Alive": True, "Resources": {"GPU": count}} for count in (4.0, 3.0, 3.0)]
    monkeypatch.setattr(ray, "nodes", lambda: [*nodes, {"Alive": False, "Resources": {"GPU": 8.0}}])
    engines = {"backend": "ray", "device": "cuda", "gpus": gpus}
    assert check_resources(tiny(engines={**engines, "count": 99, "address": "host:6379"}).engines) == places
    with pytest.raises(EngineError, match=rf"each needs {gpus:g} GPU of one machine, and .* place for {places}"):
        check_resources(tiny(engines={**engines, "count": 99}).engines)


def test_a_share_of_a_second_gpu_is_refused(tiny: Make) -> None:
    with pytest.raises(SettingError, match=r"engines = .*gpus: above 1 they are whole"):
        tiny(engines={"gpus": 1.5})


def test_the_network_is_compiled_if_asked(tiny: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """FLOPs are counted before compiling, rows are checked after it, and compiling changes the trials' identity."""
    import torch

    compiled: list[dict[str, object]] = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **how: compiled.append(how))
    plain, changed = (Study(tiny(model=SHIPPED, engines={"compile": value})) for value in (False, True))
    pool = LocalPool(changed)
    assert compiled == [{"dynamic": False, "mode": None}]
    assert pool.flops == pytest.approx(0.525e9, rel=0.01)
    pool.close()
    trials = [next(iter(study.trials())).key for study in (plain, changed)]
    assert trials[0] != trials[1]


def test_what_keeps_an_actor_from_its_engine_is_one_line(tiny: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray passes on only the text of an actor's error, whose last line says the least."""
    from bench.workers.on_ray import actors
    from bench.workers.on_ray.cluster import ours_in

    def fail(*_: Study) -> None:
        raise KeyError("no such tensor\nset THIS to see more\n")

    monkeypatch.setattr(actors, "make_worker", fail)
    study = Study(tiny())
    with pytest.raises(EngineError) as caught:
        actors.WorkerActor(study.config, study.digest(), 3)
    assert str(caught.value) == "engine 3 failed: KeyError: 'no such tensor\\nset THIS to see more\\n'"
    text = "Traceback:\n  ...\ntts.errors.DeviceError: reward mine: CUDA error: so\nCompile with X"
    told = ours_in(RuntimeError(text))
    assert (type(told), str(told)) == (DeviceError, "reward mine: CUDA error: so")
