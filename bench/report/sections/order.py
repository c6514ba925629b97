"""The sections of a page, from top to bottom. A section without data says why in place of them."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

from bench.report.html import text
from bench.report.html.analysis import Analysis
from bench.report.html.blocks import Part, Section
from bench.report.html.charts import words
from bench.report.html.figures import File
from bench.report.html.page_data import Page
from bench.report.sections import (
    curves,
    environment,
    hacking,
    images,
    matched,
    metrics,
    protocol,
    returns,
    sensitivity,
    significance,
    summary,
    trace,
)

SECTIONS: tuple[ModuleType, ...] = (
    summary,
    protocol,
    curves,
    matched,
    significance,
    returns,
    sensitivity,
    hacking,
    metrics,
    images,
    trace,
    environment,
)


def part(analysis: Analysis, number: int, page: Page) -> Part:
    """All sections of runs whose trials may be compared.

    Args:
        analysis: the runs.
        number: of the part, from 0.
        page: which the part is on.
    """
    if analysis.finished.empty:
        empty = Section("summary", "Summary", "Summary", [], "No trial is finished.")
        sections = [empty, environment.section(analysis, page)]
    else:
        sections = [section.section(analysis, page) for section in SECTIONS]
    prefix = f"part-{number + 1}-" if number else ""
    named = [Section(prefix + s.id, s.title, s.short, s.blocks, s.absent) for s in sections]
    return Part(f"part-{number + 1}", ", ".join(str(run.output) for run in analysis.runs), named)


def heading(analyses: list[Analysis]) -> tuple[str, str]:
    """The page's title, and a line below it."""
    models = list(dict.fromkeys(a.runs[0].manifest["resolved"]["model"]["name"] for a in analyses))
    rewards = list(dict.fromkeys(reward for a in analyses for reward in a.rewards))
    outputs = [str(run.output) for a in analyses for run in a.runs]
    title = f"Test-time search on {text.listed([words(str(model)) for model in models])}"
    shown = f"{', '.join(outputs[:4])}{' and others' if len(outputs) > 4 else ''}"
    about = f"Rewards searched on: {text.listed([words(reward) for reward in rewards])}." if rewards else ""
    return title, f"{about} Made by tts-bench from {shown}."


def files(analysis: Analysis) -> Iterator[File]:
    """Names and contents of the files beside the page, one at a time, since pictures are large."""
    for section in [environment] if analysis.finished.empty else SECTIONS:
        yield from section.files(analysis)
