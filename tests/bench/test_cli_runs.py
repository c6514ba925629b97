"""The command line: run, curves and replay from beginning to end, and one line for each mistake."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from command_line import bench, refused, size, tree
from tiny_study import TINY

from bench.run.driver import Driver
from bench.store import reader as store
from bench.store.schema import TIMED
from tts.files.weights_file import SHIPPED

STUDY: dict[str, Any] = {
    **TINY,
    "model": {"name": "cifar10", "sampler": {"steps": 3, "S_max": 90}},
    "rewards": ["brightness", "compressibility"],
    "searches": ["naive", {"name": "random", "budget": {"N": [2]}}],
    "problems": {"conditions": ["cat"], "seeds": 2},
    "engines": {"backend": "local", "batch": 4, "oversupply": 1.0, "threads": 1},
}


def written(path: Path, output: Path, **changes: Any) -> Path:
    """The study as a file."""
    path.write_text(yaml.safe_dump({**STUDY, "output": str(output), **changes}))
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("cli") / "finished"
    result = bench("run", written(folder.with_name("finished.yaml"), folder))
    assert (result.code, result.err) == (0, "")
    return folder


# Mistakes


BAD: list[tuple[str, str]] = [
    ("searches=[beem]", "unknown search 'beem'; did you mean 'beam'?"),
    ("rewards=[brightnes]", "unknown reward 'brightnes'; did you mean 'brightness'?"),
    ("model=cifar", "unknown model 'cifar'; did you mean 'cifar10'?"),
    ("engines.cout=2", "unknown key 'engines.cout'; did you mean 'count'?"),
    ("ouput=x", "unknown key 'ouput'; did you mean 'output'?"),
    ("model.sampler.stps=2", "model cifar10: sampler heun: unknown key 'stps'; did you mean 'steps'?"),
    ("searches=[{name: beam, M: 2}]", "search beam: unknown key 'M'; known: B, N"),
    ("searches=[{name: best_of_n, N: 0}]", "search best_of_n: N = 0: "),
    ("searches=[{name: best_of_n, budget: {N: [4, 0]}}]", "search best_of_n: N = 0: "),
    ("searches=[{name: zero_order, K: 0}]", "search zero_order: K = 0: "),
    ("searches=[{name: eps_greedy, eps: 1.01}]", "search eps_greedy: eps = 1.01: "),
    ("searches=[{name: eps_greedy, eps: -0.01}]", "search eps_greedy: eps = -0.01: "),
    ("problems.conditions=[12]", "class 12 is out of range: this model has the classes 0 to 9"),
    ("problems.conditions=[cta]", "unknown class 'cta'; did you mean 'cat'?"),
    ("searches=[{name: random, budget: {N: []}}]", "search random: budget N needs a list of at least one value"),
    ("problems.seeds=0", "problems.seeds = 0: "),
    ("engines.batch=0", "engines.batch = 0: "),
    ("engines.address=auto", "engines.address = auto: engines.backend is local, which joins no cluster"),
    ("model.sampler.S_churn=0", "model cifar10: its sampler injects no noise at any step"),
    ("engines", "--set engines: expected key=value"),
]


@pytest.mark.parametrize(("override", "message"), BAD, ids=[override for override, _ in BAD])
def test_run_refuses_a_bad_setting_before_it_writes(override: str, message: str, tmp_path: Path) -> None:
    config = written(tmp_path / "study.yaml", tmp_path / "out" / "run")
    refused(message, "run", config, "--set", override)
    assert list(tmp_path.iterdir()) == [config]


@pytest.mark.parametrize("command", ["run", "tabulate"])
def test_a_configuration_that_cannot_be_found_is_refused(command: str) -> None:
    near = "no such file or shipped configuration; did you mean 'quickstart'?"
    refused(f"configuration 'quikstart': {near}", command, "quikstart")
    refused(f"{'x' * 300}: cannot be read (File name too long)", command, "x" * 300)


def test_run_refuses_damaged_weights(tmp_path: Path) -> None:
    weights, config = tmp_path / "w.safetensors", written(tmp_path / "study.yaml", tmp_path / "run")
    weights.write_bytes((SHIPPED / "cifar10-denoiser.safetensors").read_bytes()[:-1])
    refused(f"weights {weights}: damaged", "run", config, "--set", f"model.weights={weights}")
    assert sorted(tmp_path.iterdir()) == [config, weights]


DIFFERENT = {
    "seed=1": "seed (0 there, 1 here)",
    "problems.conditions=[dog]": "problems.conditions",
    "engines.batch=3": "engines.batch",
    "searches=[naive]": "searches",
}
"""What a message names of a change."""


def test_run_refuses_the_folder_of_another_configuration(finished: Path, tmp_path: Path) -> None:
    before = tree(finished)
    config = written(tmp_path / "study.yaml", finished)
    refused(f"output {finished}: belongs to another configuration", "run", config, "--set", "seed=1")
    for change, said in DIFFERENT.items():
        refused(f"or delete it; what differs: {said}", "run", config, "--set", change)
    assert tree(finished) == before


def test_run_refuses_a_folder_with_other_files(tmp_path: Path) -> None:
    config = written(tmp_path / "study.yaml", tmp_path)
    refused(f"output {tmp_path}: holds other files", "run", config)
    assert list(tmp_path.iterdir()) == [config]


@pytest.mark.parametrize("place", ["study.yaml/run", "study.yaml", "x" * 300, "/proc/run"])
def test_run_refuses_a_folder_that_cannot_be_written(place: str, tmp_path: Path) -> None:
    config = written(tmp_path / "study.yaml", tmp_path / place)
    refused(f"output {tmp_path / place}: cannot be written to (", "run", config)
    assert list(tmp_path.iterdir()) == [config]


def test_run_without_the_device_has_exit_code_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    config = written(tmp_path / "study.yaml", tmp_path / "run")
    message = "engines.device: cuda is asked for, but torch finds no GPU; set engines.device=cpu"
    refused(message, "run", config, "--set", "engines.device=cuda", code=1)
    assert list(tmp_path.iterdir()) == [config]


@pytest.mark.parametrize("arguments", [["curves"], ["replay", "0"]])
def test_a_folder_without_a_run_is_refused(arguments: list[str], tmp_path: Path) -> None:
    command, *others = arguments
    refused(f"{tmp_path}: not a results folder", command, tmp_path, *others)
    assert not list(tmp_path.iterdir())


# Runs


def test_run_leaves_rows_curves_and_pictures(finished: Path) -> None:
    assert store.read(finished).num_rows == 2 * 2 * 2
    names = {path.name for path in finished.iterdir() if not path.name.startswith(".")}
    assert names == {"manifest.json", "trials", "curves.parquet", "curves.png", "images.png", "status.json"}
    assert {row["search"] for row in pq.read_table(finished / "curves.parquet").to_pylist()} == {"naive", "random"}


def test_run_again_finds_everything_done(finished: Path) -> None:
    before = tree(finished / "trials")
    result = bench("run", finished.with_name("finished.yaml"))
    assert (result.code, result.err) == (0, "")
    assert f"{finished}: all 8 trials are done" in result.out
    assert "random" in result.out
    assert tree(finished / "trials") == before


def test_run_goes_on_after_it_was_stopped(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, update = written(tmp_path / "study.yaml", tmp_path / "run"), Driver.update

    def interrupted(self: Driver, report: Any) -> None:
        if self.counts.done >= 3:
            raise KeyboardInterrupt
        update(self, report)

    with monkeypatch.context() as patch:
        patch.setattr(Driver, "update", interrupted)
        result = bench("run", config)
    assert result.code == 130
    assert result.err == "stopped; what was finished is stored, and the same command goes on from there\n"
    stored = len(store.done(tmp_path / "run"))
    assert 3 <= stored < 8
    result = bench("run", config)
    assert result.code == 0
    assert f"resuming: {stored} of 8 trials are done" in result.words
    columns = [name for name in store.read(finished).column_names if name not in TIMED]
    rows, again = (store.read(folder, columns).sort_by("trial") for folder in (finished, tmp_path / "run"))
    assert again.equals(rows)


def test_curves_say_what_is_gained_over_a_baseline_and_what_intervals_are_over(finished: Path) -> None:
    result = bench("curves", finished, "--baseline", "random", "--over", "conditions")
    assert (result.code, result.err) == (0, "")
    assert "gain over random" in result.out
    refused_baseline = bench("curves", finished, "--baseline", "randon")
    assert "did you mean 'random'" in refused_baseline.err
    assert bench("curves", finished).code == 0  # other tests need the curves


@pytest.mark.usefixtures("drawn")
def test_curves_are_made_again_and_printed(finished: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(finished, tmp_path / "copy")
    for picture in ("curves.parquet", "curves.png", "images.png"):
        (copy / picture).unlink()
    result = bench("curves", copy, finished)
    assert (result.code, result.err) == (0, "")
    assert "random" in result.out
    assert f"{copy}: curves.parquet, curves.png, images.png\n" in result.out
    assert (copy / "curves.parquet").read_bytes() == (finished / "curves.parquet").read_bytes()
    assert size(copy / "images.png") == size(finished / "images.png") > (1, 1)


def test_replay_draws_the_stored_image_again(finished: Path, tmp_path: Path) -> None:
    row = next(row for row in store.read(finished).to_pylist() if row["search"] == "random")
    result = bench("replay", finished, row["trial"][:12], "--output", tmp_path / "new" / "again.png")
    assert (result.code, result.err) == (0, "")
    assert "the image is identical to the stored one" in result.out
    assert f"brightness: {row['score_brightness']} (stored: {row['score_brightness']})" in result.out
    assert (tmp_path / "new" / "again.png").read_bytes() == row["image"]


@pytest.mark.parametrize(("column", "value"), [("image", b"\x89PNG other"), ("score_brightness", 0.123)])
def test_replay_tells_a_row_that_was_tampered_with(column: str, value: Any, finished: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(finished, tmp_path / "copy")
    for part in (copy / "trials").glob("part-*.parquet"):
        table = pq.read_table(part)
        place = table.column_names.index(column)
        changed = pa.array([value] * table.num_rows, table.schema.field(place).type)
        pq.write_table(table.set_column(place, table.schema.field(place), changed), part)
    result = bench("replay", copy, store.read(copy).to_pylist()[0]["trial"])
    assert (result.code, result.err) == (1, "")
    expected = "the image differs from the stored one" if column == "image" else "(stored: 0.123)"
    assert expected in result.out


def test_replay_refuses_what_it_cannot_replay(finished: Path, tmp_path: Path) -> None:
    refused(f"{finished}: no trial begins with 'xyz'", "replay", finished, "xyz")
    refused(f"{finished}: 8 trials begin with ''; give more digits", "replay", finished, "")
    refused(f"output {tmp_path}: is a folder; name a file", "replay", finished, "0", "--output", tmp_path)
    copy = shutil.copytree(finished, tmp_path / "copy")
    manifest = store.read_manifest(copy)
    (copy / "manifest.json").write_text(json.dumps({**manifest, "digest": "0" * 32}))
    trial = store.read(copy).to_pylist()[0]["trial"]
    refused(f"{copy}: was made with other weights or by another version", "replay", copy, trial)


def test_replay_without_a_stored_image_compares_its_digest(tmp_path: Path) -> None:
    changes = {"images": False, "searches": ["naive"], "problems": {"conditions": [1]}}
    assert bench("run", written(tmp_path / "study.yaml", tmp_path / "run", **changes)).code == 0
    assert not (tmp_path / "run" / "images.png").exists()
    result = bench("replay", tmp_path / "run", store.read(tmp_path / "run").to_pylist()[0]["trial"])
    assert result.code == 0
    assert "the image is identical to the stored one" in result.out
