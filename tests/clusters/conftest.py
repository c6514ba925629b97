"""A home folder where the scripts in clusters/ find stand-ins for their programs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from stand_ins import STAND_INS, Site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """The home folder; processes that a test starts there end with the test."""
    folders = {name: tmp_path / name for name in ("stand-ins", "state")}
    folders["environment"] = tmp_path / "tts-bench" / ".venv" / "bin"
    for folder in folders.values():
        folder.mkdir(parents=True)
    for name, code in STAND_INS.items():
        slurm = name in {"srun", "scontrol", "sleep", "mkdir"}
        path = folders["stand-ins" if slurm else "environment"] / name
        path.write_text(code)
        path.chmod(0o755)
    made = Site(tmp_path)
    made.mark("code", "0")
    yield made
    for process in made.started:
        process.kill()
        process.wait()
