"""The site's pages on what can be set: a study, models, samplers, rewards, metrics; made from the classes themselves.

``make reference`` writes them anew after a class has changed; a test fails until that is done.
"""

from __future__ import annotations

import inspect
import json
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from bench.report.search_docs import cell, plain
from bench.sinks.registry import SINKS
from bench.study.conditions import PromptFile
from bench.study.config import CONFIGS, RunConfig
from tts.registry import METRICS, MODELS, REWARDS, SAMPLERS, Registry
from tts.samplers.settings import SamplerSettings

FOLDER = Path(__file__).parents[2] / "docs" / "reference"

LONGEST = 60
"""A default of more letters is cut."""

KINDS: dict[str, tuple[Registry[Any], str]] = {
    "models": (
        MODELS,
        "Where a configuration says `model: {name: NAME, setting: value}`. `model: NAME` takes all defaults.",
    ),
    "samplers": (SAMPLERS, "Where a model says `sampler: {name: NAME, setting: value}`."),
    "rewards": (
        REWARDS,
        "Where a configuration lists `rewards` (searched on, one by one) and `held_out` (no search sees them). "
        "Every one also takes `as: ANOTHER_NAME`, for two of a kind.",
    ),
    "metrics": (METRICS, "Where a configuration lists `metrics`, or `tts-bench metrics RUN --add` names one."),
    "sinks": (SINKS, "Where a configuration lists `sinks`."),
}
"""Kinds of plug-ins with a page each, and where they are named."""

LIMITS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


def pages() -> dict[Path, str]:
    """Every generated page."""
    found = {FOLDER / f"{kind}.md": plugins(kind) for kind in KINDS}
    return {**found, FOLDER / "configuration.md": configuration()}


def plugins(kind: str) -> str:
    """A page on every registered plug-in of a kind."""
    registry, where = KINDS[kind]
    page = "sinks" if kind == "sinks" else f"extend/{registry.kind}"
    own = f"One of your own is named `module:Class`; see [how](../{page}.md)."
    parts = [f"# {kind.capitalize()}", where, own]
    for name in registry.targets:
        found: type[BaseModel] = registry.get(name)
        parts += [f"## {name}", plain(inspect.cleandoc(found.__doc__ or "")), settings(found) or "No settings."]
    return "\n\n".join(parts) + "\n"


def configuration() -> str:
    """A page on every key of a study's configuration."""
    nested: dict[str, Any] = {
        name: found
        for name, field in RunConfig.model_fields.items()
        for found in (field.annotation, *get_args(field.annotation))  # some may be left out
        if _is_settings(found)
    }
    parts = [
        "# Configuration",
        "A study is a YAML file. Every key can be changed on the command line: `--set engines.count=4`. "
        "An unknown key is refused, with the one that was meant.",
        "## At the top",
        settings(RunConfig),
    ]
    for name, found in nested.items():
        parts += [f"## {name}", plain(inspect.cleandoc(found.__doc__ or "")), settings(found)]
    about = plain(inspect.cleandoc(PromptFile.__doc__ or ""))
    parts += ["## A file of prompts", f"As `problems.conditions: {{file: ...}}`. {about}", settings(PromptFile)]
    return "\n\n".join([*parts, "## Configurations that ship", *_shipped()]) + "\n"


def _shipped() -> Iterator[str]:
    yield "`tts-bench run NAME` takes them by name."
    rows = [f"| `{path.stem}` | {cell(_head(path))} |" for path in sorted(CONFIGS.glob("*.yaml"))]
    yield "\n".join(["| name | what it is |", "|---|---|", *rows])


def _head(path: Path) -> str:
    """The first sentence of a configuration's head."""
    lines = []
    for line in path.read_text("utf-8").splitlines():
        text = line.removeprefix("#").strip()
        if not line.startswith("#") or not text:
            break
        lines.append(text)
    return " ".join(lines).partition(". ")[0].rstrip(".") + "."


def settings(found: type[BaseModel]) -> str:
    """A table of a class's settings, '' where there are none."""
    rows = [
        f"| `{field.alias or name}` | {cell(kind(field))} | {cell(default(field))} | {cell(field.description or '')} |"
        for name, field in found.model_fields.items()
    ]
    return "\n".join(["| setting | type | default | what it is |", "|---|---|---|---|", *rows]) if rows else ""


def kind(field: FieldInfo) -> str:
    """A field's type and limits in words."""
    limits = [
        f"{word} {getattr(mark, name)}"
        for mark in field.metadata
        for name, word in LIMITS.items()
        if hasattr(mark, name)
    ]
    return " ".join([_kind(field.annotation), *limits])


def _kind(annotation: Any) -> str:
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(inside[0])
    if origin is Literal:
        return ", ".join(f"`{json.dumps(value)}`" if not isinstance(value, str) else f"`{value}`" for value in inside)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_kind(one) for one in inside if one is not type(None)))
    if origin in (list, tuple):
        return "list"
    if origin is dict:
        return "mapping"
    if _is_settings(annotation):
        return "settings"
    names = {str: "text", int: "whole number", float: "number", bool: "yes or no", Path: "path"}
    return names.get(annotation, "value")


def _is_settings(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def default(field: FieldInfo) -> str:
    """A field's default as a configuration has it."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, SamplerSettings):
        return f"`{value.identity()['name']}`"
    if _is_settings(type(value)):
        return "its own"
    if value is None:
        return ""
    text = json.dumps(value, default=str)
    return f"`{text}`" if len(text) <= LONGEST else f"`{text[:LONGEST]}...`"
