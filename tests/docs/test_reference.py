"""The pages of the site that are made from code are up to date and complete."""

from __future__ import annotations

import re

import pytest
import typer

from bench.commands.app import COMMANDS, app
from bench.commands.pages import pages, parameters
from bench.report.reference_docs import FOLDER, KINDS, configuration, plugins, settings
from bench.study.config import CONFIGS, RunConfig
from bench.study.engines import Engines
from bench.study.scorers import Scorers


def test_the_pages_are_up_to_date() -> None:
    found = pages()
    assert {*FOLDER.iterdir()} <= set(found)
    for path, text in found.items():
        assert path.read_text("utf-8") == text, "run: make reference"


def test_every_option_of_every_command_is_on_its_page() -> None:
    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for command in COMMANDS:
        taken = known[command.__name__.partition("_")[0]]
        shown = {word for one in parameters(command) for word in re.split(r"[ /]", one.name) if word.startswith("--")}
        options = {name for one in taken.params for name in (*one.opts, *one.secondary_opts) if name.startswith("--")}
        assert shown <= options | {""}, command.__name__
        names = {name for one in taken.params for name in (one.opts[0], *one.secondary_opts) if name.startswith("--")}
        assert names - {"--help"} <= shown, command.__name__


@pytest.mark.parametrize("kind", KINDS)
def test_every_plug_in_and_every_setting_of_it_is_on_the_page(kind: str) -> None:
    text = plugins(kind)
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == list(KINDS[kind][0].targets)
    assert ":class:" not in text
    for name in KINDS[kind][0].targets:
        for key, field in KINDS[kind][0].get(name).model_fields.items():
            assert f"\n| `{field.alias or key}` | " in text


def test_the_configuration_is_there_with_limits_and_defaults() -> None:
    text = configuration()
    assert settings(RunConfig) in text
    assert settings(Engines) in text
    assert settings(Scorers) in text
    assert "| `count` | whole number at least 1 | `1` | engine actors |" in text
    assert all(f"\n| `{path.stem}` | " in text for path in CONFIGS.glob("*.yaml"))
