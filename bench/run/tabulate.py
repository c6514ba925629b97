"""``tts-bench tabulate``: a table of rewards, from a run that scores every step of trajectories without search."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from rich.console import Console

from bench.run.replay import stored_study
from bench.run.start import run
from bench.store import reader as store
from bench.store import trace
from bench.store.files import check_file, write_output
from bench.store.schema import SCORE
from bench.store.storage import Storage, place
from bench.study.config import RunConfig, load
from bench.study.study import Study
from bench.study.trust import is_foreign, texts
from tts.errors import DataError, SettingError
from tts.settings import canonical
from tts.tables.form import COLUMNS, REWARD, VERSION, HeaderForm, RewardForm, schema

NAME = "table.parquet"
FOLDER = "recording"
"""The run that a table is made of, beside it."""


@dataclass(frozen=True)
class Tabulated:
    """A table that was written, and how many trajectories it has; ``failed`` ones are left out."""

    file: Path
    trajectories: int
    failed: int


def tabulate(
    target: str, candidates: int, output: Path | None, overrides: list[str], trust: bool, console: Console
) -> Tabulated:
    """Record trajectories, or go on with that, and write their table.

    Args:
        target: a configuration, whose searches do not matter; or a run's folder, whose configuration is taken.
        candidates: trajectories of each problem.
        output: the table's file; None: beside the run.
        overrides: ``key=value``, of a configuration.
        trust: a run's manifest may name code, files and addresses, and its cluster is joined.

    Raises:
        TTSError: a setting cannot be used, the run is of another configuration, or not all of its trials are there.
    """
    try:
        is_run = (Path(target) / "manifest.json").exists()
    except OSError as error:
        raise SettingError(f"{target}: cannot be read ({error.strerror})") from None
    if is_run and overrides:
        raise SettingError(f"{target}: is a run, whose settings are fixed; --set is for configurations")
    given = stored_study(target, trust, simulated=True).config if is_run else load(target, overrides)
    if "://" in str(given.output) and output is None:
        raise SettingError("output: a table is written to a folder of this machine; give --output FILE")
    file = output or Path(f"{Path(target) if is_run else given.output}-table") / NAME
    check_file(file)
    finished = run(recording(given, candidates, file.parent / FOLDER), console)
    return write(finished.study, file)


def recording(config: RunConfig, candidates: int, folder: Path) -> RunConfig:
    """The run that a table is made of: every candidate's trajectory without search, and all that it predicts."""
    search = {"name": "naive", "looks": True, "budget": {"candidate": list(range(candidates))}}
    changes = {"searches": [search], "trace": True, "images": False, "metrics": [], "compute": "search"}
    return config.model_copy(update={**changes, "output": folder, "shard": None, "sinks": []})


def write(study: Study, file: Path) -> Tabulated:
    """The table of a recording that is done.

    Raises:
        DataError: not all of its trials are there.
    """
    where = place(study.config.output)
    trials = store.read(where, [*_TRIAL, *(f"{SCORE}{name}" for name in study.rewards)])
    if trials.num_rows < study.size:
        raise DataError(f"{where}: {study.size - trials.num_rows} trials are not there yet; run the same command again")
    header = _header(study, store.read_manifest(where))
    rows, failed = _rows(study, trials, _predicted(where))
    if not rows:
        raise DataError(f"{where}: all of its trials have failed; tts-bench status says why")
    made = pa.Table.from_pylist(rows, schema=schema(header))
    buffer = io.BytesIO()
    pq.write_table(made, buffer, compression="zstd", use_dictionary=_REPEATED)
    write_output(file, buffer.getvalue())
    return Tabulated(file, made.filter(pc.equal(made["step"], study.plan.steps)).num_rows, failed)


_TRIAL = ["trial", "settings", "condition", "label", "seed", "problem_seed", "reward", "error", "image_sha256"]
_REPEATED = [name for name, _, _ in COLUMNS]


def _header(study: Study, manifest: dict[str, Any]) -> HeaderForm:
    """Where the table comes from, as the recording's manifest says; no paths of this machine."""
    resolved, plan = manifest["resolved"], study.plan
    rewards = {
        name: RewardForm(
            name=_plugin(study.given_rewards[name]),
            settings={key: value for key, value in settings.record().items() if not any(map(is_foreign, texts(value)))},
            identity=resolved["rewards"][name],
            predicted=name in study.searched,
        )
        for name, settings in study.rewards.items()
    }
    return HeaderForm.model_validate(
        {
            "version": VERSION,
            "model": resolved["model"],
            "rewards": {name: form.model_dump() for name, form in rewards.items()},
            "plan": {
                name: getattr(plan, name)
                for name in ("nfe_per_step", "injects", "initial_nfe", "levels", "back", "leaps", "forgets_start")
            },
            "numerics": resolved["numerics"],
            "seed": study.config.seed,
            "candidates": len(study.entries),
            **{name: manifest[name] for name in ("devices", "flops", "versions", "git")},
        }
    )


def _plugin(given: str | dict[str, Any]) -> str:
    return given if isinstance(given, str) else str(given["name"])


def _predicted(where: Storage) -> dict[str, dict[int, float | None]]:
    """Rewards of each trial by the steps done."""
    found: dict[str, dict[int, float | None]] = {}
    seen = trace.read(where, ["trial", "stop", "reward"])
    for trial, stop, reward in zip(seen["trial"], seen["stop"], seen["reward"], strict=True):
        found.setdefault(trial, {})[stop] = None if math.isnan(reward) else float(reward)
    return found


def _rows(
    study: Study, trials: pa.Table, predicted: dict[str, dict[int, float | None]]
) -> tuple[list[dict[str, Any]], int]:
    """The table's rows, and how many trajectories have failed for one of the rewards."""
    by_problem: dict[tuple[str, int], dict[int, dict[str, dict[str, Any]]]] = {}
    for trial in trials.to_pylist():
        candidate = json.loads(trial["settings"]).get("candidate", 0)  # left out at its default
        problem = by_problem.setdefault((trial["condition"], trial["problem_seed"]), {})
        problem.setdefault(candidate, {})[trial["reward"]] = trial
    kept = {
        key: {k: of for k, of in sorted(problem.items()) if all(trial["error"] is None for trial in of.values())}
        for key, problem in by_problem.items()
    }
    failed = sum(len(problem) for problem in by_problem.values()) - sum(len(problem) for problem in kept.values())
    order = [key for key in _order(study) if kept.get(key)]
    rows = (
        row
        for number, key in enumerate(order)
        for candidate, of in kept[key].items()
        for row in _trajectory(study, number, candidate, of, predicted)
    )
    return list(rows), failed


def _order(study: Study) -> Iterable[tuple[str, int]]:
    """The study's problems, in its order."""
    return dict.fromkeys((canonical(trial.condition), trial.problem_seed) for trial in study.trials())


def _trajectory(
    study: Study, problem: int, candidate: int, of: dict[str, dict[str, Any]], predicted: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    any_trial, steps = next(iter(of.values())), study.plan.steps
    common = {name: any_trial[name] for name in ("condition", "label", "seed", "problem_seed")}
    for step in range(0 if study.plan.predicts(()) else 1, steps + 1):
        last = step == steps
        seen = {name: predicted[trial["trial"]][step] for name, trial in of.items()}
        scores = {name: any_trial[f"{SCORE}{name}"] if last else seen.get(name) for name in study.rewards}
        yield {
            "problem": problem,
            **common,
            "candidate": candidate,
            "step": step,
            "image_sha256": any_trial["image_sha256"] if last else None,
            **{f"{REWARD}{name}": value for name, value in scores.items()},
        }
