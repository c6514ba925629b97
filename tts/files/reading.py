"""Why a file of weights cannot be read."""

from __future__ import annotations

from pathlib import Path


def obstacle(path: Path) -> str:
    """Why a file that a library calls missing cannot be read; libraries also say so without permission to read it."""
    try:
        with path.open("rb"):
            return "no such file"  # it has appeared since
    except FileNotFoundError:
        return "no such file"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
