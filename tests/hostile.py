"""Files that would run code if they were unpickled."""

from __future__ import annotations

import os
import pickle
from pathlib import Path


class _Touches:
    """An object that makes a file when it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch {self.proof}",)


def pickle_that_makes(proof: Path, path: Path) -> Path:
    """A pickle at ``path`` that makes the file ``proof`` when it is loaded by ``pickle``."""
    path.write_bytes(pickle.dumps({"state_dict": _Touches(proof)}, protocol=2))
    return path
