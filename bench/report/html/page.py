"""``tts-bench report``: the page and the folder beside it."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files as resources
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from bench.report.html.across import AcrossModels, comparable_models
from bench.report.html.analysis import Analysis, load
from bench.report.html.charts import markers
from bench.report.html.figures import File
from bench.report.html.page_data import Page
from bench.report.palette import LOOKS, OTHERS
from bench.report.prices import Prices
from bench.report.sections import across
from bench.report.sections.order import files, heading, part
from bench.statistics.intervals import Over
from bench.store.files import check_folder
from bench.store.storage import LocalStorage, Output, Storage, place
from tts.errors import SettingError

PAGE_BYTES = 15_000_000
IMAGE_BYTES = 10_000_000
"""Bytes of all images in a page, which leaves room for everything else within :data:`PAGE_BYTES`."""


@dataclass(frozen=True)
class Written:
    """The files of a report.

    Args:
        page: its address.
        size: of the page, bytes.
        files: how many lie in the folder beside it.
        failed: trials that have failed.
    """

    page: str
    size: int
    files: int
    failed: int


def write_report(
    outputs: Sequence[Output],
    to: str | None = None,
    baseline: str = "naive",
    features: bool = True,
    over: Over = "problems",
    trust: bool = False,
    prices: Prices = Prices(),  # noqa: B008  (frozen)
) -> Written:
    """Write ``report.html``, and beside it the folder ``report`` with PNG, SVG and CSV files.

    Args:
        outputs: runs; those that may be compared share their sections, others have sections of their own.
        to: a folder, or the name of the file, which ends with .html; None: the folder of the first run.
        baseline: the search with which others are compared.
        features: compute features of the images, for diversity and distance from real ones, where that is quick.
        over: what intervals are over: these problems, or conditions like these.
        trust: manifests may name metrics that are code of their own.
        prices: of an hour of each device.

    Raises:
        DataError: there is no run, or no finished trial.
        SettingError: no trial of the baseline, or the report cannot be written.
    """
    places = [place(output) for output in outputs]
    where, name = _target(places, to)
    analyses = load(places, baseline, features, over, trust)
    folder = name.removesuffix(".html")
    models = [AcrossModels(group, prices) for group in comparable_models(analyses)]
    html = render(analyses, folder, models)
    number = 0
    try:
        for file, content in _files(analyses, models, folder):
            where.write(file, content)
            number += 1
        where.write(name, html.encode())
    except OSError as error:
        raise SettingError(f"output {where}: cannot be written to ({error.strerror or error})") from None
    failed = sum(len(analysis.failed) for analysis in analyses)
    return Written(f"{where}/{name}", len(html.encode()), number, failed)


def _target(outputs: list[Storage], to: str | None) -> tuple[Storage, str]:
    """Where the page goes, and its file's name."""
    if to is None:
        where, name = outputs[0], "report.html"
    elif to.endswith(".html"):
        above, _, name = to.rpartition("/")
        where = place(above or ".")
    else:
        where, name = place(to.rstrip("/") or "/"), "report.html"
    if isinstance(where, LocalStorage):
        check_folder(where.folder)
    for written in (name, name.removesuffix(".html")):
        where.path(written)  # refused before anything is computed
    return where, name


def _files(analyses: list[Analysis], models: list[AcrossModels], folder: str) -> Iterator[File]:
    for number, analysis in enumerate(analyses):
        yield from ((f"{_folder(folder, number)}/{name}", content) for name, content in files(analysis))
    for number, one in enumerate(models):
        yield from ((f"{_across(folder, number)}/{name}", content) for name, content in across.files(one))


def _across(folder: str, number: int) -> str:
    return f"{folder}/across{number + 1 if number else ''}"


def _folder(folder: str, number: int) -> str:
    """The files of the first part lie in the folder itself, those of another in one of their own."""
    return f"{folder}/{number + 1}" if number else folder


def render(analyses: list[Analysis], folder: str = "report", models: Sequence[AcrossModels] = ()) -> str:
    """The page as HTML.

    Args:
        analyses: one for each part.
        folder: name of the folder with the files that are linked to.
        models: models that are compared with each other; they come first.
    """
    page = Page(IMAGE_BYTES // len(analyses))
    parts = [(across.part(one, number, page), _across(folder, number)) for number, one in enumerate(models)]
    parts += [(part(analysis, number, page), _folder(folder, number)) for number, analysis in enumerate(analyses)]
    looks = {curve["marker"] for chart in page.charts for curve in chart["curves"]}
    names = [*looks, *(look.marker for look in LOOKS.values()), *(marker for _, marker in OTHERS)]
    script = _text("chart.js")
    title, lead = heading(analyses)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["grouped"] = _grouped
    return environment.from_string(_text("template.html")).render(
        title=f"{title} · tts-bench",
        heading=title,
        lead=lead,
        parts=parts,
        style=Markup(_text("style.css")),  # noqa: S704  (a file of ours)
        script=Markup(script),  # noqa: S704  (a file of ours)
        script_hash=f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}",
        data=embedded({"markers": markers(names), "charts": page.charts}),
        footer="This page needs no network; the files that it links to lie in the folder beside it.",
    )


def _grouped(names: list[str]) -> list[tuple[str, list[str]]]:
    """Files of one stem together: (stem, endings)."""
    stems = dict.fromkeys(name.rpartition(".")[0] for name in names)
    return [(stem, [name.rpartition(".")[2] for name in names if name.startswith(f"{stem}.")]) for stem in stems]


def embedded(value: Any) -> Markup:
    """JSON that can stand inside a script element, whatever texts it holds: no tag can begin or end in it."""
    written = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    escaped = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
    for character, code in escaped.items():
        written = written.replace(character, code)
    return Markup(written)  # noqa: S704  (escaped just now)


def _text(name: str) -> str:
    return (resources("bench.report.html") / name).read_text(encoding="utf-8")
