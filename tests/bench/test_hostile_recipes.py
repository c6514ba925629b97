"""Replay of foreign results folders: prompts, recipes and conditions are data."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import bench, refused
from report_runs import small_run

from bench.run.replay import segment_of
from bench.study.trust import refuse_foreign
from tts.errors import DataError, UntrustedError

NOISE = {"seed": 1, "moves": []}
ROW: dict[str, Any] = {"trial": "a1", "noises": [NOISE, NOISE, None], "condition": "3"}

MOVES: dict[str, Any] = {
    "no move": None,
    "a move of an unknown kind": {"kind": "os:system"},
    "a move without its numbers": {"kind": None},
    "a move of a seed below 0": {"kind": None, "seed": -1, "radius": 1.0},
    "a move without end": {"kind": None, "seed": 1, "radius": float("inf")},
    "a turn by more than all": {"kind": "turn", "seed": 1, "radius": 2.0},
    "a box without a share": {"kind": "box", "seed": 1, "radius": 1.0, "values": []},
    "a box of two shares": {"kind": "box", "seed": 1, "radius": 1.0, "values": [0.5, 0.5]},
    "a mixture without weights": {"kind": "mixture", "seeds": [1, 2], "radius": 1.0, "values": [0.5]},
    "a band of an endless level": {"kind": "band", "radius": float("inf"), "values": []},
    "a band of a huge level": {"kind": "band", "radius": 1e12, "values": []},
    "a band between two levels": {"kind": "band", "radius": 1.5, "values": []},
    "a band of no numbers": {"kind": "band", "radius": 1.0, "values": [None, float("nan")]},
}

BAD: dict[str, dict[str, Any]] = {
    **{name: {"noises": [{"seed": 1, "moves": [move]}, None, None]} for name, move in MOVES.items()},
    "no recipe": {"noises": None},
    "an empty recipe": {"noises": []},
    "no initial noise": {"noises": [None, NOISE, NOISE]},
    "too short": {"noises": [NOISE]},
    "too long": {"noises": [NOISE] * 9},
    "a seed below 0": {"noises": [{**NOISE, "seed": -1}, None, None]},
    "moves that are none": {"noises": [{"seed": 1, "moves": None}, None, None]},
    "a noise that is a text": {"noises": ["x", None, None]},
    "a way back that leads out": {"noises": [NOISE, {**NOISE, "to": 5}, None, None]},
    "a condition that is code": {"condition": "__import__('os')"},
    "a condition that is too deep": {"condition": "[" * 100_000},
    "no condition": {"condition": None},
}


@pytest.mark.parametrize("change", BAD.values(), ids=BAD.keys())
def test_a_row_that_is_no_trajectory_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"^run: the row of trial a1 has "):
        segment_of({**ROW, **change}, 2, "run")


def test_a_row_that_is_one_is_not() -> None:
    assert segment_of(ROW, 2, "run").condition == 3


@pytest.mark.parametrize("name", ["/etc/hostname", "prompts.txt", "../x"])
def test_a_manifest_names_no_file_of_prompts(name: str) -> None:
    config = {"problems": {"conditions": {"file": name, "first": 1}}}
    with pytest.raises(UntrustedError, match=r"problems\.conditions\.file"):
        refuse_foreign(config, "run")


@pytest.mark.parametrize("conditions", ["all", [0, 1], ["a/b/c: d", "..."]])
def test_prompts_themselves_are_words(conditions: object) -> None:
    refuse_foreign({"problems": {"conditions": conditions}}, "run")


def test_replay_says_so_in_one_line(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", 20)
    (tmp_path / "secret.txt").write_text("hidden words\n")
    part = next((run / "trials").glob("*.parquet"))
    table = pq.read_table(part)
    key, column = table["trial"][0].as_py(), table.column_names.index("noises")
    empty = pa.array([[]] * len(table), table.schema.field(column).type)
    pq.write_table(table.set_column(column, "noises", empty), part)
    refused("has no initial noise", "replay", run, key)

    other = Path(shutil.copytree(run, tmp_path / "other"))
    manifest = json.loads((other / "manifest.json").read_text())
    manifest["config"]["problems"]["conditions"] = {"file": str(tmp_path / "secret.txt")}
    (other / "manifest.json").write_text(json.dumps(manifest))
    result = bench("replay", other, key)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "hidden" not in result.err
