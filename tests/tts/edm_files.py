"""Files of tiny EDM networks, and a model's settings on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import edm_pickles
from edm_pickles import TINY

from tts.models.edm import EDM


def saved(path: Path, **changes: Any) -> tuple[edm_pickles.EDMPrecond, Path]:
    """A tiny network and its file."""
    network = edm_pickles.network(**(TINY | changes))
    return network, edm_pickles.save(network, path / "network.pkl")


def settings(path: Path, **changes: Any) -> EDM:
    """Settings of the model on a tiny network's file."""
    return EDM(checkpoint=path, **{"classes": TINY["label_dim"], **changes})
