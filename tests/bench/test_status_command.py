"""``tts-bench status`` of a run that works, has ended, has been silent for long, or has a damaged file."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import bench, refused
from rich.console import Console
from standing_clock import Clock

from bench.run import status
from bench.run.start import run


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock in place of the real one."""
    made = Clock()
    monkeypatch.setattr(status, "time", made)
    return made


def begun(folder: Path, state: str = "running", age: float = 0.0, name: str = "status.json", **changes: Any) -> None:
    """A status file, some seconds old."""
    folder.mkdir(exist_ok=True)
    content = {
        "state": state,
        "shard": None,
        "updated": time.time() - age,
        "done": 1234,
        "failed": 0,
        "trials": 5000,
        "nfe_per_second": 4321.0,
        "seconds_left": 3700.0,
        "last_error": "",
        "engines": [
            {
                "engine": 0,
                "device": "H100",
                "host": "north",
                "rows_per_second": 1234.56,
                "busy": 0.973,
                "waiting": 0.02,
                "losses": 0,
            },
            {"engine": 1, "device": None, "host": "", "rows_per_second": 0.0, "busy": 0.0, "losses": 3},
        ],
    }
    (folder / name).write_text(json.dumps({**content, **changes}))


def test_a_run_that_is_running(tmp_path: Path) -> None:
    begun(tmp_path)
    result = bench("status", tmp_path)
    assert (result.code, result.err) == (0, "")
    first, *_ = result.out.splitlines()
    assert first == f"{tmp_path}: running, 1,234 of 5,000 trials done, 4,321 NFE/s, 1:01:40 left"
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in result.out.splitlines() if line[:1] == "│"]
    assert cells == [["0", "H100", "north", "1,234.6", "97 %", "2 %", "0"], ["1", "away", "", "0.0", "0 %", "?", "3"]]


def test_failed_trials_are_told_with_the_last_reason(tmp_path: Path) -> None:
    begun(tmp_path, failed=2, last_error="search [hasty]: ended at step 1")
    lines = bench("status", tmp_path).out.splitlines()
    assert "1,234 of 5,000 trials done, 2 of them failed, 4,321 NFE/s" in lines[0]
    assert lines[1] == "last error: search [hasty]: ended at step 1"


def test_a_run_that_has_been_silent_for_long(tmp_path: Path) -> None:
    begun(tmp_path, age=3600)
    [first, *_] = bench("status", tmp_path).out.splitlines()
    assert ": not heard of for 1:00:0" in first
    assert "(killed? the same command resumes it), 1,234 of" in first
    assert "left" not in first


@pytest.mark.parametrize("state", ["stopped", "done"])
def test_a_run_that_has_ended_is_not_called_killed(state: str, tmp_path: Path) -> None:
    begun(tmp_path, state, age=3600)
    [first, *_] = bench("status", tmp_path).out.splitlines()
    assert first == f"{tmp_path}: {state}, 1,234 of 5,000 trials done, 4,321 NFE/s"


def test_shards_go_by_their_own_numbers(tmp_path: Path) -> None:
    for shard in (10, 1, 2):
        begun(tmp_path, name=f"status-{shard}of12.json", shard=f"{shard}/12", done=shard)
    lines = [line for line in bench("status", tmp_path).out.splitlines() if line.startswith(str(tmp_path))]
    assert [line.split(" of 5,000")[0] for line in lines] == [
        f"{tmp_path} (shard {shard}/12): running, {shard}" for shard in (1, 2, 10)
    ]


def test_there_must_be_a_run(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        refused(f"{folder}: no run has begun there", "status", folder)
        refused(f"{folder}: no run has begun there", "status", folder, "--follow")
    (tmp_path / "file").write_text("x")
    refused(f"{tmp_path / 'file'}: its status cannot be read", "status", tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("content", ["", "{", "{}", "[]", "null", '{"state": "running"}', "\x80"])
def test_a_damaged_file_is_a_line(content: str, tmp_path: Path) -> None:
    (tmp_path / "status.json").write_bytes(content.encode("latin1"))
    refused(f"{tmp_path}: its status cannot be read (", "status", tmp_path)


def test_follow_ends_when_all_shards_have(tmp_path: Path, clock: Clock) -> None:
    def later(seconds: float) -> None:
        clock.slept.append(seconds)
        begun(tmp_path, "stopped" if len(clock.slept) > 1 else "running", name="status-1of2.json", shard="1/2")
        begun(tmp_path, "done", name="status-0of2.json", shard="0/2")

    clock.sleep = later  # type: ignore[method-assign]
    begun(tmp_path, name="status-0of2.json", shard="0/2")
    begun(tmp_path, name="status-1of2.json", shard="1/2")
    result = bench("status", tmp_path, "--follow")
    states = [line.split(", ")[0].split()[-1] for line in result.out.splitlines() if "trials done" in line]
    assert result.code == 0
    assert states == ["running", "running", "done", "running", "done", "stopped"]
    assert clock.slept == [status.EVERY_SECONDS] * 2


def test_follow_of_a_run_that_is_done_shows_it_once(tmp_path: Path, clock: Clock) -> None:
    begun(tmp_path, "done")
    assert bench("status", tmp_path, "--follow").out.count("trials done") == 1
    assert not clock.slept


def test_a_finished_run_is_done(tiny: Callable[..., Any]) -> None:
    config = tiny(searches=["naive"], engines={"simulate": 0.0})
    run(config, Console(quiet=True))
    [first, *_] = bench("status", config.output).out.splitlines()
    assert first.startswith(f"{config.output}: done, 6 of 6 trials done, ")
