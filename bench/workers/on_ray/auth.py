"""The token of a cluster on this machine: a password that allows any code to run, so that nobody else may read it."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

GIVEN = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
OTHERS = 0o007
"""Permissions of everybody but a file's owner and group, with whom it may be shared on purpose."""


def have_token() -> None:
    """Make a token for the cluster that this process starts, if its user has none.

    Ray would make one itself, in a file that everybody may read. This one is in the environment of the cluster's
    processes alone, and ends with them.
    """
    wanted = os.environ.get("RAY_AUTH_MODE", "").lower() == "token"
    if wanted and not any(os.environ.get(name) for name in GIVEN) and not _kept():
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _kept() -> bool:
    """Whether there is a token where Ray looks for one; if everybody may read it, only its owner may from then on."""
    path = Path(os.environ.get("HOME", ".")) / ".ray" / "auth_token"
    try:
        token, found = path.read_bytes(), path.stat()
    except OSError:
        return False
    if found.st_uid == os.getuid() and found.st_mode & OTHERS:
        with suppress(OSError):  # on a file system that cannot be written, the run goes on as before
            path.chmod(0o600)
    return bool(token.strip())
