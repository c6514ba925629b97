"""The trace: every evaluation of every stored trial, once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from rich.console import Console
from tiny_study import TINY

from bench.run.start import run
from bench.store import reader as store
from bench.store import trace
from bench.store.schema import EVALUATION_COLUMNS, TRACE_VERSION
from bench.study.config import RunConfig
from bench.study.study import Study
from tts.errors import DataError

QUIET = Console(quiet=True)


def configured(folder: Path, **changes: Any) -> RunConfig:
    """A study of every search, on engines that compute nothing."""
    engines = {"backend": "local", "batch": 4, "simulate": 0.0}
    return RunConfig.model_validate({**TINY, "engines": engines, "trace": True, "output": str(folder), **changes})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A traced run."""
    made = tmp_path_factory.mktemp("traced")
    run(configured(made), QUIET)
    return made


@pytest.fixture(scope="module")
def both(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The run's trials and evaluations."""
    trials = store.read(folder)
    return trials.to_pandas().assign(noises=trials["noises"].to_pylist()), trace.read(folder)


def test_its_schema_is_documented(folder: Path) -> None:
    [part] = trace.names(folder)
    assert part in store.parts(store.place(folder))
    found = pq.read_schema(folder / "evaluations" / part)
    assert {column.name: column.metadata[b"doc"].decode() for column in found} == {
        field.name: field.doc for field in EVALUATION_COLUMNS
    }
    assert int(found.metadata[b"schema_version"]) == TRACE_VERSION == 2


def test_seeds_are_exact_though_some_evaluations_have_none(folder: Path) -> None:
    [part] = trace.names(folder)
    stored = pq.read_table(folder / "evaluations" / part)["noise"].to_pylist()
    assert None in stored
    seeds = [noise["seed"] for noise in stored if noise]
    assert max(seeds) > 2**53
    assert [noise["seed"] for noise in trace.read(folder)["noise"] if noise] == seeds


def test_costs_add_up(both: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    trials, evaluations = both
    by_trial = evaluations.groupby("trial")
    nfe = trials.set_index("trial")["nfe"]
    assert by_trial["nfe"].sum().sort_index().equals(nfe.sort_index())
    assert by_trial["nfe_so_far"].last().sort_index().equals(nfe.sort_index())
    assert (evaluations["nfe_so_far"] == by_trial["nfe"].cumsum()).all()


def test_best_is_the_running_maximum(both: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    _, evaluations = both
    expected = evaluations.fillna({"reward": -np.inf}).groupby("trial")["reward"].cummax()
    assert (evaluations["best"].fillna(-np.inf) == expected).all()
    assert evaluations["best"].isna().any()


def test_places_are_unique_and_in_order(both: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    _, evaluations = both
    places = evaluations[["trial", "round", "candidate"]]
    assert not places.duplicated().any()
    for _, mine in evaluations.groupby("trial", sort=False):
        assert mine[["round", "candidate"]].apply(tuple, axis=1).is_monotonic_increasing
        rounds = mine.groupby("round")["candidate"]
        assert (rounds.max() + 1 == rounds.size()).all()
        assert sorted(mine["round"].unique()) == list(range(mine["round"].nunique()))


def test_the_chosen_ones_lead_to_the_result(both: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """Each step's chosen evaluations chain from the start to the end, and their noises are the trial's recipe."""
    trials, evaluations = both
    for search in ("random", "eps_greedy", "zero_order"):
        for trial in trials[trials["search"] == search].itertuples():
            mine = evaluations[(evaluations["trial"] == trial.trial) & evaluations["chosen"]]
            assert list(mine["first"]) == [0, *mine["stop"][:-1]]
            assert mine["stop"].iloc[-1] == 4
            kept = [noise for noise in mine["noise"] if noise is not None]
            recipe = [noise for noise in trial.noises[1:] if noise is not None]
            assert [noise["seed"] for noise in kept] == [noise["seed"] for noise in recipe]
            assert [len(noise["moves"]) for noise in kept] == [len(noise["moves"]) for noise in recipe]


def test_kinds(both: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    trials, evaluations = both
    kinds = evaluations.merge(trials[["trial", "search"]], on="trial").groupby("search")["kind"].agg(set)
    assert kinds["random"] == {"global", "none"}
    assert kinds["zero_order"] == {"local", "none"}
    assert kinds["eps_greedy"] == {"local", "global", "none"}
    assert kinds["best_of_n"] == {"global"}


def test_a_moved_initial_noise_is_what_a_candidate_tries(tmp_path: Path) -> None:
    study = {"searches": [{"name": "zero_order_initial", "N": 2, "K": 1}], "rewards": ["brightness"]}
    run(configured(tmp_path, **study, problems={"conditions": [0], "seeds": 1}), QUIET)
    evaluations = trace.read(tmp_path)
    assert list(evaluations["kind"]) == ["global", "local", "local"]
    moves = [noise["moves"] for noise in evaluations["noise"]]
    assert [len(each) for each in moves] == [0, 1, 1]
    assert moves[1][0]["seed"] != moves[2][0]["seed"]


def test_a_trial_is_the_same_with_and_without(tmp_path: Path, folder: Path) -> None:
    config = configured(tmp_path, trace=False)
    run(config, QUIET)
    assert Study(config).digest() == store.read_manifest(folder)["digest"]
    columns = ["trial", "value", "nfe", "noises", "samples"]
    plain, traced = (store.read(where, columns).sort_by("trial") for where in (tmp_path, folder))
    assert plain.equals(traced)
    assert not (tmp_path / "evaluations").exists()
    with pytest.raises(DataError, match="has no trace; run it with trace: true"):
        trace.read(tmp_path)


def test_evaluations_without_their_trials_do_not_count(tmp_path: Path, folder: Path) -> None:
    """The driver seems to have been killed between writing the two; the trials run again."""
    run(configured(tmp_path), QUIET)
    whole = trace.read(tmp_path)
    [part] = store.parts(store.place(tmp_path))
    (tmp_path / "trials" / part).unlink()
    with pytest.raises(DataError):
        trace.read(tmp_path)
    run(configured(tmp_path), QUIET)
    assert len(trace.names(tmp_path)) == 2
    order = ["trial", "round", "candidate"]
    again = trace.read(tmp_path).sort_values(order, ignore_index=True)
    pd.testing.assert_frame_equal(again, whole.sort_values(order, ignore_index=True))


def test_a_trial_stored_twice_is_read_once(tmp_path: Path) -> None:
    run(configured(tmp_path), QUIET)
    whole = trace.read(tmp_path)
    [part] = trace.names(tmp_path)
    for name in ("trials", "evaluations"):
        (tmp_path / name / "part-zz-00000.parquet").write_bytes((tmp_path / name / part).read_bytes())
    pd.testing.assert_frame_equal(trace.read(tmp_path), whole)
    assert json.loads((tmp_path / "manifest.json").read_text())["trials"] == store.read(tmp_path).num_rows
