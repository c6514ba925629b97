"""A data card: describes an exported run to strangers, from its manifest and its rows."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import yaml

from bench.store.schema import COLUMNS, score_columns
from tts.errors import SettingError

LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,60}")
UNKNOWN = "unknown"
TABLE = "table"
"""The model that has rewards and no images."""
SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
)
"""Numbers of rows, in the hub's words."""
CELL_LETTERS = 200
CONFIG_LETTERS = 20_000


@dataclass(frozen=True)
class CardFacts:
    """Facts for a card that are not in the run itself.

    Args:
        name: of the data set, for people.
        license: the hub's word for it, such as ``cc-by-4.0``.
        place: the repository's ``owner/name``; None: a folder.
        images: whether the rows hold images.
    """

    name: str
    license: str
    place: str | None
    images: bool


def check_license(license: str) -> str:
    """A license as the hub writes them.

    Raises:
        SettingError: it is none.
    """
    if not LICENSE.fullmatch(license):
        raise SettingError(f"--license {license[:60]}: give the hub's word for it, for example cc-by-4.0, mit or other")
    return license


def card(manifest: Mapping[str, Any], trials: pd.DataFrame, facts: CardFacts) -> str:
    """The card, Markdown behind a head in YAML.

    Args:
        manifest: of the run.
        trials: its rows, without images and recipes.
        facts: what they do not say.
    """
    head = yaml.safe_dump(_head(manifest, trials, facts), sort_keys=False, allow_unicode=True)
    parts = [
        f"# {_text(facts.name)}",
        _about(trials, facts),
        *_setup(manifest, trials),
        *_columns(manifest, facts),
        *_again(manifest, trials, facts),
        "## Configuration",
        _fenced(yaml.safe_dump(manifest["config"], sort_keys=False, allow_unicode=True), "yaml"),
    ]
    return f"---\n{head}---\n\n" + "\n\n".join(parts) + "\n"


def _head(manifest: Mapping[str, Any], trials: pd.DataFrame, facts: CardFacts) -> dict[str, Any]:
    rows = len(trials)
    return {
        "license": facts.license,
        "pretty_name": facts.name,
        "task_categories": ["text-to-image" if _prompted(trials) else "unconditional-image-generation"],
        "size_categories": [next((word for limit, word in SIZES if rows < limit), "n>10M")],
        "tags": ["diffusion", "test-time-scaling", "benchmark", *_named(manifest)],
        "configs": [{"config_name": "trials", "data_files": "trials/*.parquet"}],
    }


def _named(manifest: Mapping[str, Any]) -> list[str]:
    """The model's name as a tag, if it is one."""
    name = (manifest.get("resolved") or {}).get("model", {}).get("name", "")
    return [name] if re.fullmatch(r"[A-Za-z0-9_-]{1,40}", str(name)) else []


def _prompted(trials: pd.DataFrame) -> bool:
    """Whether conditions are texts."""
    return bool(trials["condition"].str.startswith('"').any())


def _about(trials: pd.DataFrame, facts: CardFacts) -> str:
    problems = len(trials[["condition", "problem_seed"]].drop_duplicates())
    failed = int(trials["error"].notna().sum())
    images = "Each row has its image, as PNG." if facts.images else "Images were left out; each can be made again."
    lost = f", {failed:,} of them of trials that failed" if failed else ""
    return (
        "Test-time scaling of a diffusion model by search over the injected noises: one row is one search of one "
        "problem for one reward, with its cost, its rewards and its recipe, the noises from which the image can be "
        f"made again bit for bit. {len(trials):,} rows{lost}, {problems:,} problems. {images}"
    )


def _setup(manifest: Mapping[str, Any], trials: pd.DataFrame) -> list[str]:
    """Model, rewards and searches, and by what they were computed."""
    resolved = manifest.get("resolved") or {}
    given = resolved.get("held_out")
    held_out = {str(name) for name in given} if isinstance(given, list) else set()
    rewards = [
        (name, "held out: never searched on" if name in held_out else "searched on", identity)
        for name, identity in resolved.get("rewards", {}).items()
    ]
    git = manifest.get("git")
    facts = {
        "model": resolved.get("model", {}),
        "engines": resolved.get("numerics", {}),
        "devices": ", ".join(sorted(map(str, trials["device"].dropna().unique()))),
        "commit": "no checkout" if git is None else f"{git['commit']}{', changed since' if git['dirty'] else ''}",
        "identity": manifest["digest"],
        "begun": manifest.get("created", UNKNOWN),
    }
    points = Counter(zip(trials["search"], trials["settings"], strict=True)).items()
    return [
        "## How it was made",
        _table(("what", "value"), facts.items()),
        "## Rewards",
        _table(("reward", "use", "settings and digests of weights"), rewards),
        "## Searches",
        _table(("search", "settings", "rows"), ((search, text, f"{n:,}") for (search, text), n in points)),
    ]


def _columns(manifest: Mapping[str, Any], facts: CardFacts) -> list[str]:
    names = (manifest.get("resolved") or {}).get("rewards", {})
    fields = [field for field in (*COLUMNS, *score_columns(names)) if facts.images or field.name != "image"]
    rows = ((field.name, str(field.type).partition("<")[0], field.doc) for field in fields)
    return ["## Columns of `trials`", _table(("column", "type", "meaning"), rows)]


def _again(manifest: Mapping[str, Any], trials: pd.DataFrame, facts: CardFacts) -> list[str]:
    """How to read it, and, where there are images, to make one again."""
    name = facts.place.rpartition("/")[2] if facts.place else "FOLDER"
    finished = trials[trials["error"].isna()]["trial"]
    trial = str(finished.min())[:12] if len(finished) else "TRIAL"
    replays = [
        f"tts-bench replay {name} {trial} --output image.png  # an image again, from its row",
        f"tts-bench verify {name} --sample 20  # rows drawn at random, played again",
    ]
    drawn = (manifest.get("resolved") or {}).get("model", {}).get("name") != TABLE
    commands = [
        *([f"hf download {facts.place} --repo-type dataset --local-dir {name}"] if facts.place else []),
        f"tts-bench report {name}  # one page: curves, tests, tables",
        *(replays if drawn else []),
    ]
    return ["## Read and replay", _fenced("\n".join(commands), ""), "Curves are in `curves.parquet` and `curves.png`."]


def _table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """A table of texts from anywhere."""
    names = list(head)
    lines = [names, ["---"] * len(names), *([_cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: object) -> str:
    if isinstance(value, Mapping):
        value = ", ".join(f"{key}: {_plain(inner)}" for key, inner in value.items()) or "-"
    text = str(value)
    return _text(text if len(text) <= CELL_LETTERS else f"{text[:CELL_LETTERS]}...")


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _text(text: str) -> str:
    """A text that is no markup, on one line."""
    return re.sub(r"([\\`*_\[\]<>|#~])", r"\\\1", " ".join(text.split()))


def _fenced(text: str, language: str) -> str:
    """A block that no text ends before its end."""
    if len(text) > CONFIG_LETTERS:
        text = f"{text[:CONFIG_LETTERS]}\n# ... cut here; manifest.json has all of it"
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"
