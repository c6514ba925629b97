"""The findings of the runs, in numbers and sentences."""

from __future__ import annotations

from collections.abc import Iterator

from bench.report.html import text
from bench.report.html.analysis import Analysis
from bench.report.html.blocks import Section, Sentences, Tiles
from bench.report.html.figures import File
from bench.report.html.page_data import Page


def section(analysis: Analysis, page: Page) -> Section:
    """The section on the page."""
    finished = analysis.finished.drop_duplicates("trial")
    items = [
        ("problems", f"{len(finished[['condition', 'seed']].drop_duplicates()):,}"),
        ("trials", f"{analysis.trials['trial'].nunique():,}"),
        ("failed", f"{len(analysis.failed):,}"),
        ("searches", f"{finished['search'].nunique():,}"),
        ("rewards", f"{len(analysis.scores):,}"),
        ("denoiser calls", text.large(float(finished["nfe"].sum()))),
    ]
    return Section("summary", "Summary", "Summary", [Tiles(items), Sentences(text.summary(analysis))])


def files(analysis: Analysis) -> Iterator[File]:
    """What lies beside the page; one at a time, since pictures are large."""
    yield from ()
