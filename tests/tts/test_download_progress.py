"""What a terminal shows during a download."""

from __future__ import annotations

import io

import pytest
from file_site import CONTENT, Site

from tts.errors import WeightsError
from tts.files import downloads
from tts.files.downloads import fetch

pytestmark = pytest.mark.usefixtures("cache")


class Terminal(io.StringIO):
    """A terminal that keeps what is written to it."""

    def isatty(self) -> bool:
        return True


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Not a fixture, as pytest replaces stderr between a fixture and its test."""
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    for name, value in {"TERM": "xterm", "COLUMNS": "200"}.items():
        monkeypatch.setenv(name, value)
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    return terminal


@pytest.mark.parametrize("length", [True, False], ids=["length known", "length unknown"])
def test_a_large_fetch_shows_on_a_terminal_how_far_it_is(
    site: Site, monkeypatch: pytest.MonkeyPatch, length: bool
) -> None:
    terminal = on_terminal(monkeypatch)
    monkeypatch.setattr(downloads, "LARGE", len(CONTENT))
    site.length = length
    assert fetch(site.url.replace("network", "[b]network"), "checkpoint").read_bytes() == CONTENT
    shown = terminal.getvalue()
    assert "[b]network.pkl" in shown
    assert ("102.4/102.4 kB" if length else "102.4/? kB") in shown


def test_progress_begins_where_an_earlier_fetch_ended(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "LARGE", 1)
    site.cuts = [50_000, 0]
    with pytest.raises(WeightsError):
        fetch(site.url, "checkpoint")
    terminal = on_terminal(monkeypatch)
    fetch(site.url, "checkpoint")
    assert "50.0/102.4 kB" in terminal.getvalue()
    assert "102.4/102.4 kB" in terminal.getvalue()


def test_small_fetches_and_other_outputs_show_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    fetch(site.url, "checkpoint")
    assert terminal.getvalue() == ""
    monkeypatch.setattr(downloads, "LARGE", 1)
    monkeypatch.setattr("sys.stderr", log := io.StringIO())
    fetch(site.url.replace("some", "other"), "checkpoint")
    assert log.getvalue() == ""
