"""The path of a file that a configuration names."""

from __future__ import annotations

from pathlib import Path

from tts.files import downloads
from tts.files.homes import expanded
from tts.files.staging import near


def locate(address: str, setting: str, sha256: str | None = None) -> Path:
    """The file of a path or an https address, downloaded if needed, or its staged copy on this machine.

    Args:
        address: path of a file, with ``~`` for the home, or an https address.
        setting: the setting that names it, for messages.
        sha256: digest of the file at the address, or its first digits; None: unknown.

    Raises:
        WeightsError: the file cannot be downloaded; a path is not checked.
    """
    if "://" in address:
        return downloads.fetch(address, setting, sha256)
    return near(expanded(address))
