"""The files in clusters/, and the commands that they give."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CLUSTERS = ROOT / "clusters"

AUTOSCALER = ("aws.yaml", "gcp.yaml")
RAYJOB = ("kubernetes.yaml",)
SBATCH = ("slurm-array.sbatch", "slurm.sbatch")
SHELL = ("local.sh", *SBATCH)
TEXT = ("README.md",)
READY_MADE = (*AUTOSCALER, *RAYJOB, *SHELL)
ALL = (*READY_MADE, *TEXT)

COMMAND = r"(?<![\w/.\[\"=-]){program} (?=[a-z])((?:(?!  )[^\n`#;&|>])*)"
"""A program's name and its words, up to a shell operator or the column of remarks."""


def text(name: str) -> str:
    """A file, with continued lines joined and commented lines uncommented."""
    plain = (CLUSTERS / name).read_text()
    return re.sub(r"^# ", "", re.sub(r"\\\n\s*", "", plain), flags=re.MULTILINE)


def documents(name: str) -> list[Any]:
    """The documents of a YAML file."""
    return list(yaml.safe_load_all((CLUSTERS / name).read_text()))


def pinned_ray() -> str:
    """The release of Ray that this package is tested with."""
    (version,) = re.findall(r"^ray==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    return version


def strings(value: Any) -> Iterator[str]:
    """Every text in a document, with folded lines joined."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for entry in value.values():
            yield from strings(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from strings(entry)


def commands(name: str, program: str) -> list[list[str]]:
    """A program's calls in a file: the words after the program's name."""
    found = re.findall(COMMAND.replace("{program}", program), "\n".join(_sources(name)))
    return [_words(command) for command in found]


def _sources(name: str) -> Iterator[str]:
    if not name.endswith(".yaml"):
        yield text(name)
        return
    for document in documents(name):
        yield from strings(document)
    yield from (line[2:] for line in (CLUSTERS / name).read_text().splitlines() if line.startswith("# "))


def _words(command: str) -> list[str]:
    """The words of a command, split as by a shell; an apostrophe is no quotation mark, as commands stand in prose."""
    try:
        return shlex.split(command)
    except ValueError:
        return command.split()
