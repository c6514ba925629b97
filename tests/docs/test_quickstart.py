"""Files of ``make quickstart``, and its last lines."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_it_runs_writes_the_report_and_ends_with_what_to_do_next() -> None:
    asked = ["make", "--no-print-directory", "-n", "-o", ".venv/.installed", "quickstart"]
    lines = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines[:2] == [".venv/bin/tts-bench run quickstart", ".venv/bin/tts-bench report results/quickstart"]
    assert "open results/quickstart/report.html in a browser" in "".join(lines[2:])
    pages = [word.rstrip(":,") for line in lines[2:] for word in line.split() if word.startswith("docs/")]
    assert len(pages) == 2
    assert all((ROOT / page).is_file() for page in pages)
