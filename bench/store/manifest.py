"""What a run's manifest says: the configuration, what it resolves to, versions, the commit, the devices."""

from __future__ import annotations

import platform
import shutil
import subprocess
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bench.store.schema import SCHEMA_VERSION
from bench.study.study import Study

PACKAGES = (
    "diffusion-tts-bench",
    "torch",
    "torchvision",
    "diffusers",
    "transformers",
    "open_clip_torch",
    "ray",
    "numpy",
    "pyarrow",
    "pillow",
)


def build(study: Study, devices: list[str], flops: float | None = None) -> dict[str, Any]:
    """The manifest of a run that is about to start.

    Args:
        study: the run.
        devices: a word on each engine's device.
        flops: of one denoiser forward of one image, if known.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "digest": study.digest(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "config": study.config.model_dump(mode="json"),
        "resolved": study.resolved(),
        **({} if study.following is None else {"protocol": study.following.record()}),
        "trials": study.size,
        "devices": devices,
        "flops": flops,
        "levels": list(study.plan.levels),
        "versions": versions(),
        "git": commit(),
    }


def versions() -> dict[str, str]:
    """Python's version and those of the packages that results depend on."""
    return {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES}


@cache
def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def commit() -> dict[str, Any] | None:
    """The commit of this code and whether it was changed since; None outside a checkout."""
    git = shutil.which("git")
    if git is None:
        return None
    folder = Path(__file__).parents[1]

    def ask(*words: str) -> str | None:
        answer = subprocess.run([git, "-C", str(folder), *words], capture_output=True, text=True, check=False)  # noqa: S603
        return answer.stdout.strip() if answer.returncode == 0 else None

    head = ask("rev-parse", "HEAD")
    return (
        None
        if head is None
        else {"commit": head, "dirty": bool(ask("status", "--porcelain", "--", str(folder.parent)))}
    )
