"""A foreign results folder is data: it makes no command import, call, read or write anything outside of it."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from command_line import bench, refused, tree
from fuzz.folders import read_files, unread
from report_runs import rewrite, small_run

Attack = Callable[[Path, Path], None]
"""Function of a run's folder and a folder outside of it; it changes the run."""

OPENED: list[str] = []
"""Every file that Python has opened; times of access tell of Arrow's files, too, where a file system keeps them."""

sys.addaudithook(lambda event, arguments: OPENED.append(str(arguments[0])) if event == "open" else None)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_run(tmp_path_factory.mktemp("made") / "run", 20)


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with code that must not run; at the end the fixture checks that nothing there has changed."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret.png").write_bytes(b"secret")
    trap = "import pathlib\npathlib.Path(__file__).with_name('ran').touch()\n"
    (folder / "trap.py").write_text(f"{trap}Thing = thing = 3\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr("subprocess.getoutput", lambda cmd: (folder / "ran").touch())
    before = tree(folder)
    unread(folder)
    OPENED.clear()
    yield folder
    assert [path for path in OPENED if str(folder) in path] == read_files(folder) == []
    assert tree(folder) == before
    assert "trap" not in sys.modules


@pytest.fixture
def run(made: Path, tmp_path: Path, outside: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "run"))


def manifest(**changes: Any) -> Attack:
    """Replace top-level entries; ``{outside}`` stands for the folder outside."""

    def attack(run: Path, outside: Path) -> None:
        content = json.loads((run / "manifest.json").read_text())
        text = json.dumps({**content, **changes}).replace("{outside}", str(outside))
        (run / "manifest.json").write_text(text)

    return attack


def config(**changes: Any) -> Attack:
    """Replace entries of the configuration."""

    def attack(run: Path, outside: Path) -> None:
        content = json.loads((run / "manifest.json").read_text())
        manifest(config={**content["config"], **changes})(run, outside)

    return attack


def column(name: str, value: Any) -> Attack:
    """Set a column of the rows to one value."""

    def attack(run: Path, outside: Path) -> None:
        text = value.replace("{outside}", str(outside))
        rewrite(run, lambda trials: trials.assign(**{name: text}))

    return attack


def renamed(name: str) -> Attack:
    """Rename a column."""

    def attack(run: Path, outside: Path) -> None:
        for part in (run / "trials").glob("*.parquet"):
            table = pq.read_table(part)
            names = [name if column == "score_brightness" else column for column in table.column_names]
            pq.write_table(table.rename_columns(names), part)

    return attack


def content(name: str, text: str) -> Attack:
    """Replace a file's content."""

    def attack(run: Path, outside: Path) -> None:
        (run / name).write_text(text)

    return attack


def link(name: str, target: str) -> Attack:
    """Put a link in place of a file or folder."""

    def attack(run: Path, outside: Path) -> None:
        path = run / name
        for old in run.glob(name) if "*" in name else [path]:
            if old.is_dir():
                shutil.rmtree(old)
            path = old
        path.unlink(missing_ok=True)
        path.parent.mkdir(exist_ok=True)
        path.symlink_to(outside / target)

    return attack


def image_link(run: Path, outside: Path) -> None:
    link("images/link.png", "secret.png")(run, outside)
    column("image_file", "images/link.png")(run, outside)


STATUS: dict[str, Any] = {
    **{"state": "running", "shard": None, "updated": 0.0, "done": 1, "failed": 0, "trials": 2, "nfe_per_second": 1.0},
    **{"seconds_left": 1.0, "last_error": "", "engines": []},
}


def status(**changes: Any) -> Attack:
    """Write a status file."""
    return content("status.json", json.dumps({**STATUS, **changes}))


CODE: dict[str, Attack] = {
    "a command as a model": config(model={"name": "subprocess:getoutput", "cmd": "touch ran"}),
    "a module as a model": config(model={"name": "trap:Thing"}),
    "a module as a model, in short": config(model="trap:Thing"),
    "a reward": config(rewards=["trap:thing"]),
    "a held-out reward": config(held_out=[{"name": "trap:thing"}]),
    "a member of a sum": config(rewards=[{"name": "weighted", "of": [{"reward": "trap:thing"}]}]),
    "a search": config(searches=[{"name": "trap:Thing"}]),
    "a metric": config(metrics=["trap:Thing"]),
    "a name with a space": config(model="trap:Thing "),
    "a checkpoint outside": config(model={"name": "edm", "checkpoint": "{outside}/secret.png"}),
    "a checkpoint beside": config(model={"name": "edm", "checkpoint": "../outside/secret.png"}),
    "a checkpoint at home": config(model={"name": "edm", "checkpoint": "~/secret.png"}),
    "an address": config(model={"name": "edm", "checkpoint": "https://127.0.0.1:9/x.pkl"}),
    "a repository of somebody": config(model={"name": "stable-diffusion", "id": "somebody/model"}),
    "an encoder outside": config(rewards=[{"name": "clip", "model": "{outside}"}]),
    "a head outside": config(rewards=[{"name": "aesthetic", "head": "{outside}/secret.png"}]),
}

IMAGES: dict[str, Attack] = {
    "the folder above": column("image_file", "../outside/secret.png"),
    "a whole path": column("image_file", "{outside}/secret.png"),
    "up from a folder": column("image_file", "images/../../outside/secret.png"),
    "a drive": column("image_file", "C:\\outside\\secret.png"),
    "backslashes": column("image_file", "..\\outside\\secret.png"),
    "two slashes": column("image_file", "//outside/secret.png"),
    "an address as a file": column("image_file", "file:///etc/hostname"),
    "a control character": column("image_file", "images/\x1b[2Jx.png"),
    "a link": image_link,
}

NAMES: dict[str, Attack] = {
    "a reward's column": renamed("score_../../outside/x"),
    "a reward's column with a tag": renamed("score_<b>"),
    "a reward's name": column("reward", "../outside/x"),
    "settings that are no JSON": column("settings", "__import__('trap')"),
    "settings that are too deep": column("settings", "[" * 100_000),
}

MANIFESTS: dict[str, Attack] = {
    "no JSON": content("manifest.json", "import trap"),
    "a list": content("manifest.json", "[]"),
    "too deep": content("manifest.json", "[" * 100_000),
    "devices that are no list": manifest(devices="x"),
    "a model without a name": manifest(resolved={"model": {}}),
    "flops that are no number": manifest(flops="many"),
    "infinite flops": manifest(flops=float("inf")),
    "a digest that is no text": manifest(digest=["x"]),
    "a configuration that is no mapping": manifest(config="x"),
    "a commit that is no mapping": manifest(git="x"),
}

LINKS: dict[str, Attack] = {
    "a manifest elsewhere": link("manifest.json", "secret.png"),
    "a part elsewhere": link("trials/*.parquet", "secret.png"),
}

STATUSES: dict[str, Attack] = {
    "a shard that is no shard": status(shard="x/y"),
    "engines that are no list": status(engines="x"),
    "a machine that is no text": status(engines=[{"engine": 0, "host": {}}]),
    "an endless time": status(seconds_left=1e300),
    "not a number": status(nfe_per_second=float("nan")),
    "too deep a status": content("status.json", "[" * 100_000),
    "a status elsewhere": link("status.json", "secret.png"),
}


@pytest.mark.parametrize("attack", CODE.values(), ids=CODE.keys())
def test_replay_imports_calls_and_opens_nothing(attack: Attack, run: Path, outside: Path) -> None:
    trial = next((run / "trials").glob("*.parquet"))
    key = pq.read_table(trial, columns=["trial"])["trial"][0].as_py()
    attack(run, outside)
    refused("its manifest names ", "replay", run, key)


@pytest.mark.parametrize("command", ["curves", "report", "compare", "export", "status"])
@pytest.mark.parametrize("attack", ["a command as a model", "an encoder outside"])
def test_other_commands_take_such_names_as_words(attack: str, command: str, run: Path, outside: Path) -> None:
    CODE[attack](run, outside)
    (run / "status.json").write_text(json.dumps(STATUS))
    assert bench(command, run, *others(command, run)).code == 0


ON_IMAGES = [(attack, "replay") for attack in IMAGES] + [
    (attack, command)
    for attack in ("the folder above", "a link")
    for command in ("export", "report", "curves", "compare")
]
"""Every attack on the command that reads one image; a path and a link on others, which read images as it does."""


@pytest.mark.parametrize(("attack", "command"), ON_IMAGES)
def test_images_lie_in_the_folder(attack: str, command: str, run: Path, outside: Path) -> None:
    key = pq.read_table(next((run / "trials").glob("*.parquet")), columns=["trial"])["trial"][0].as_py()
    IMAGES[attack](run, outside)
    others_ = [key] if command == "replay" else others(command, run)
    refused("the run's folder", command, run, *others_)


@pytest.mark.parametrize("command", ["report", "curves", "compare", "export"])
@pytest.mark.parametrize("attack", {**NAMES, **MANIFESTS, **LINKS}.values(), ids={**NAMES, **MANIFESTS, **LINKS}.keys())
def test_forms_are_checked(attack: Attack, command: str, run: Path, outside: Path) -> None:
    attack(run, outside)
    result = bench(command, run, *others(command, run))
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert result.err.startswith("error: ")


@pytest.mark.parametrize("attack", STATUSES.values(), ids=STATUSES.keys())
def test_a_status_is_checked(attack: Attack, run: Path, outside: Path) -> None:
    attack(run, outside)
    result = bench("status", run)
    assert (result.code, result.err.count("\n"), result.out) == (2, 1, "")


@pytest.mark.parametrize(
    ("command", "name"), [("report", "report"), ("report", "report.html"), ("curves", "curves.png")]
)
def test_nothing_is_written_through_links(command: str, name: str, run: Path, outside: Path) -> None:
    link(name, "secret.png" if "." in name else "")(run, outside)
    refused("leads out of the run's folder", command, run)


def test_a_status_is_printed_without_markup_and_control_characters(run: Path, outside: Path) -> None:
    engine = {
        "engine": 0,
        "device": "[red]x[/]",
        "host": "\x1b[2J[bold]",
        "rows_per_second": 1.0,
        "busy": 0.5,
        "losses": 0,
    }
    status(last_error="\x1b]0;taken\x07[link=x]", engines=[engine])(run, outside)
    result = bench("status", run)
    assert result.code == 0
    assert "\x1b" not in result.out
    assert "[red]x[/]" in result.out
    assert "[link=x]" in result.out


def test_rows_are_printed_without_control_characters(run: Path, outside: Path) -> None:
    def foul(trials: pd.DataFrame) -> pd.DataFrame:
        return trials.assign(search="\x1b[2J[red]x", error=None)

    rewrite(run, foul)
    result = bench("curves", run)
    assert result.code == 0
    assert "\x1b" not in result.out


def test_there_are_enough_attacks() -> None:
    assert len(CODE) + len(ON_IMAGES) + 4 * len(NAMES | MANIFESTS | LINKS) + len(STATUSES) >= 30


def others(command: str, run: Path) -> list[Path]:
    """Further arguments of a command."""
    return {"compare": [run], "export": [run.parent / "exported"]}.get(command, [])
