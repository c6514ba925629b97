"""Files that would run code if they were unpickled, or if transformers were allowed to run a folder's own code."""

from __future__ import annotations

import json
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


def tokenizer_that_makes(proof: Path, folder: Path) -> Path:
    """A tokenizer whose class is code in its own folder, which makes the file ``proof`` when it is imported."""
    folder.mkdir(exist_ok=True)
    own = {"tokenizer_class": "Own", "auto_map": {"AutoTokenizer": ["own_tokenizer.Own", None]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(own))
    (folder / "own_tokenizer.py").write_text(f"open({str(proof)!r}, 'w').close()\nclass Own: pass\n")
    return folder
