"""The data of a page's charts, collected while its sections are built."""

from __future__ import annotations

from typing import Any

from bench.report.html.blocks import Chart


class Page:
    """Collects the data of a page's charts.

    Args:
        images: bytes that all images of a part may take.
    """

    def __init__(self, images: int) -> None:
        self.images = images
        self.charts: list[dict[str, Any]] = []

    def chart(self, name: str, data: dict[str, Any], caption: str, files: list[str]) -> Chart:
        """A chart's place on the page; its data are kept."""
        self.charts.append(data)
        return Chart(f"{name}-{len(self.charts)}", len(self.charts) - 1, caption, files)
