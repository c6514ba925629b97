"""Why a file of weights cannot be read."""

from __future__ import annotations

from pathlib import Path


def obstacle(path: Path) -> str:
    """What keeps from a file that a library calls missing; some say so of one that they may not read."""
    try:
        with path.open("rb"):
            return "no such file"  # it has come since
    except FileNotFoundError:
        return "no such file"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
