"""Where a file named in a configuration lies."""

from __future__ import annotations

from pathlib import Path

from tts.files import downloads
from tts.files.homes import expanded
from tts.files.staging import near


def locate(address: str, setting: str, sha256: str | None = None) -> Path:
    """The file of a path or an https address, downloaded if needed, near this machine's engines.

    Args:
        address: path of a file, with ``~`` for the home, or an https address.
        setting: the setting that named it, for messages.
        sha256: digest of what is at the address, or its first digits; None: unknown.

    Raises:
        WeightsError: it cannot be fetched. A path is not looked at.
    """
    if "://" in address:
        return downloads.fetch(address, setting, sha256)
    return near(expanded(address))
