"""The command line: help of every command, lists, one image, and one line for each mistake."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from command_line import bench, refused, size, tree

from bench.commands.app import app
from tts.registry import MODELS, REWARDS, SEARCHES

HEAVY = {"torch", "ray", "pandas", "pyarrow", "diffusers", "matplotlib"}
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


# Help and lists


def test_every_command_and_option_has_a_help_text() -> None:
    assert set(COMMANDS) == {
        *("run", "status", "curves", "report", "compare", "replay", "export"),
        *(
            "list",
            "check",
            "train",
            "generate",
            "scale",
            "calibrate",
            "doctor",
            "duel",
            "plan",
            "verify",
            "metrics",
            "protocol",
            "serve",
            "tabulate",
        ),
    }
    for name, command in COMMANDS.items():
        assert command.help, name
        for parameter in command.params:
            assert parameter.help, f"{name} {parameter.name}"


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_names_every_option(name: str) -> None:
    result = bench(name, "--help")
    assert (result.code, result.err) == (0, "")
    for parameter in COMMANDS[name].params:
        assert parameter.opts[0] in result.out or parameter.opts[0].upper() in result.out


def test_help_appears_at_once() -> None:
    def seconds() -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "bench", "--help"], check=True, capture_output=True)
        return time.perf_counter() - start

    assert min(seconds() for _ in range(3)) < 2.0


LIGHT = [("--help",), *((name, "--help") for name in COMMANDS), ("list", "searches")]
"""Calls that are answered at once."""

ALL_OF_THEM = """
import sys
import typer.main
from bench.commands import app
app.app = typer.main.get_command(app.app)  # read once for all of them
for arguments in {calls!r}:
    sys.argv = ["tts-bench", *arguments]
    try:
        app.main()
    except SystemExit as end:
        print("imported:", end.code, *sorted(set({heavy!r}) & set(sys.modules)))
"""


@pytest.fixture(scope="module")
def imported(fresh_python: Callable[..., str]) -> dict[tuple[str, ...], str]:
    """The exit code of each light call, and what heavy had been imported by its end in a process of light calls."""
    said = fresh_python(ALL_OF_THEM.format(calls=LIGHT, heavy=HEAVY)).splitlines()
    found = [line.removeprefix("imported: ") for line in said if line.startswith("imported: ")]
    return dict(zip(LIGHT, found, strict=True))


@pytest.mark.parametrize("arguments", LIGHT, ids=" ".join)
def test_help_and_lists_import_nothing_heavy(arguments: tuple[str, ...], imported: dict[tuple[str, ...], str]) -> None:
    assert imported[arguments] == "0"


@pytest.mark.parametrize(("kind", "registry"), [("models", MODELS), ("rewards", REWARDS), ("searches", SEARCHES)])
def test_a_list_shows_every_name_with_its_settings(kind: str, registry: Any) -> None:
    result = bench("list", kind)
    assert (result.code, result.err) == (0, "")
    first_words = {line.strip("│ ").split()[0] for line in result.out.splitlines() if line.strip("│ ")}
    assert set(registry.targets) <= first_words
    assert ("[height," in result.words) == (kind == "models")  # brackets are not taken for markup
    assert not {"PydanticUndefined:", "None:", "True:"} & set(result.words.split())  # words of Python
    for name in registry.targets:
        for key, setting in registry.get(name).model_fields.items():
            assert f"{setting.alias or key}" in result.words
            assert setting.description
            assert setting.description.split()[0] in result.words


@pytest.mark.parametrize("arguments", [["lst"], ["list", "search"], ["run"], ["generate", "--sed", "3"], ["curves"]])
def test_a_wrong_call_has_exit_code_2(arguments: list[str]) -> None:
    result = bench(*arguments)
    assert result.code == 2
    assert "Traceback" not in result.err
    assert "Usage" in result.err


# One image


def test_generate_draws_an_image_and_tells_before_and_after(tmp_path: Path) -> None:
    path = tmp_path / "new [x]" / "cat.png"
    small = ["--batch", 2, "--threads", 1, "--output", path]
    result = bench("generate", "--search", "random", "--set", "N=2", "--class", "cat", *small)
    assert (result.code, result.err) == (0, "")
    assert size(path) == (32, 32)
    assert "random on brightness: cat" in result.out
    assert "before" in result.out
    assert "after" in result.out
    assert any(line.split()[1:4:2] == ["NFE", "35"] for line in result.out.splitlines())
    assert f"written to {path}\n" in result.out


def test_generate_without_a_search_is_plain_sampling(tmp_path: Path) -> None:
    result = bench("generate", "--search", "naive", "--batch", 1, "--threads", 1, "--output", tmp_path / "x.png")
    assert result.code == 0
    [brightness] = [line.split() for line in result.out.splitlines() if "brightness " in line]
    assert brightness[3] == brightness[5]


WRONG: list[tuple[list[str], str]] = [
    (["--class", "12"], "class 12 is out of range"),
    (["--class", "cta"], "unknown class 'cta'; did you mean 'cat'?"),
    (["--search", "beem"], "unknown search 'beem'; did you mean 'beam'?"),
    (["--reward", "brightnes"], "unknown reward 'brightnes'; did you mean 'brightness'?"),
    (["--model", "cifar"], "unknown model 'cifar'; did you mean 'cifar10'?"),
    (["--set", "K=0"], "search eps_greedy: K = 0: "),
    (["--set", "N=0"], "search eps_greedy: N = 0: "),
    (["--set", "eps=1.5"], "search eps_greedy: eps = 1.5: "),
    (["--set", "epss=0.5"], "search eps_greedy: unknown key 'epss'; did you mean 'eps'?"),
    (["--set", "K"], "--set K: expected key=value"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG, ids=[" ".join(arguments) for arguments, _ in WRONG])
def test_generate_refuses_a_bad_setting(arguments: list[str], message: str, tmp_path: Path) -> None:
    refused(message, "generate", *arguments, "--output", tmp_path / "new" / "image.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["file/image.png", "folder", "/proc/image.png"])
def test_generate_refuses_a_file_that_cannot_be_written(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    before = tree(tmp_path)
    refused("output ", "generate", "--output", tmp_path / place)
    assert tree(tmp_path) == before
