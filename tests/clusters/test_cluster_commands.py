"""Commands in clusters/ are valid for the command lines of ``tts-bench`` and of Ray."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import pytest
import typer
from cluster_files import ALL, AUTOSCALER, SBATCH, commands, text
from pydantic import BaseModel
from ray.scripts.scripts import cli as ray_cli

from bench.commands.app import app
from bench.study.config import CONFIGS, RunConfig

PROSE = {"is", "takes"}
"""Words that may follow the name ``tts-bench`` without being a command."""


def tool() -> dict[str, set[str]]:
    """The commands of tts-bench with their options."""
    group: Any = typer.main.get_command(app)
    return {name: {option for p in command.params for option in p.opts} for name, command in group.commands.items()}


def keys(model: type[BaseModel], prefix: str = "") -> set[str]:
    """Every setting; names of nested ones have dots."""
    found = set()
    for name, field in model.model_fields.items():
        kind = field.annotation
        nested = isinstance(kind, type) and issubclass(kind, BaseModel)
        found |= keys(kind, f"{prefix}{name}.") if nested else {prefix + name}
    return found


@pytest.mark.parametrize("name", ALL)
def test_commands_of_the_tool(name: str) -> None:
    known, found = tool(), [words for words in commands(name, "tts-bench") if words[0].rstrip(".,") not in PROSE]
    assert found or name in AUTOSCALER
    for command, *arguments in found:
        assert command in known, f"tts-bench {command}"
        options = {word.split("=")[0] for word in arguments if word.startswith("-")}
        assert options <= known[command], f"tts-bench {command} has no {options - known[command]}"
        values = [after for word, after in pairwise(arguments) if word == "--set"]
        assert {value.split("=")[0] for value in values} <= keys(RunConfig)
        if command == "run" and arguments and "$" not in arguments[0]:
            assert (CONFIGS / f"{arguments[0]}.yaml").is_file(), arguments[0]


@pytest.mark.parametrize("name", SBATCH)
def test_scripts_name_a_configuration(name: str) -> None:
    (config,) = re.findall(r"^CONFIG=(\S+)", text(name), re.MULTILINE)
    assert (CONFIGS / f"{config}.yaml").is_file()


@pytest.mark.parametrize("name", [*AUTOSCALER, "README.md"])
def test_commands_of_ray(name: str) -> None:
    """Ray's own command line parses them without running them; tests of the scripts parse the scripts' commands."""
    found = commands(name, "ray")
    assert found
    for words in found:
        group: Any = ray_cli
        while words and words[0] in getattr(group, "commands", {}):
            group = group.commands[words.pop(0)]
        assert group is not ray_cli, f"ray {words[0]}"
        if words:  # without words, Ray is only mentioned
            group.make_context(group.name, words)


def test_settings_of_all_depths_are_known() -> None:
    assert {"output", "engines.count", "engines.address", "problems.seeds"} <= keys(RunConfig)
    assert "engines" not in keys(RunConfig)
