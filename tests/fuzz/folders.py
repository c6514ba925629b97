"""Results folders as they come back torn, mixed with others, or made to harm."""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from fuzz.configurations import places

STRANGE: list[Any] = [
    None,
    True,
    -1,
    10**30,
    0.5,
    "",
    "../..",
    "/etc/passwd",
    "a" * 3000,
    "\x00",
    "os:system",
    [],
    {},
    [[]],
]
STRANGE += [{"name": "subprocess:getoutput", "cmd": "touch ran"}, "s3://KEY:SECRET@bucket/x", "9" * 400]


def damage(run: Path, chance: random.Random) -> str:
    """Change one file of a run; returns what was done."""
    file = chance.choice(sorted(path for path in run.rglob("*") if path.is_file() and not path.name.startswith(".")))
    how = chance.choice(["cut", "bytes", "empty", "gone", "other", "folder", "json", "json", "json"])
    whole = file.read_bytes()
    match how:
        case "cut":
            file.write_bytes(whole[: chance.randrange(len(whole) + 1)])
        case "bytes":
            at = chance.randrange(len(whole) + 1)
            file.write_bytes(
                whole[:at] + chance.randbytes(chance.randrange(1, 40)) + whole[at + chance.randrange(40) :]
            )
        case "empty" | "gone" | "folder":
            file.unlink()
            if how == "empty":
                file.touch()
            if how == "folder":
                file.mkdir()
        case "other":
            others = sorted(path for path in run.rglob("*") if path.is_file())
            file.write_bytes(chance.choice(others).read_bytes())
        case "json":
            file = run / "manifest.json"
            try:
                before = json.loads(file.read_bytes())
            except (OSError, ValueError):
                before = {}
            if not file.is_dir():
                file.write_text(json.dumps(_changed(before, chance)))
    return f"{how} {file.relative_to(run)}"


def link(run: Path, outside: Path, chance: random.Random) -> str:
    """Put a link in place of a file or folder of a run; what was there lies outside where the link leads, or nothing.

    Returns:
        What was done.
    """
    path = chance.choice(sorted(path for path in run.rglob("*") if not path.name.startswith(".")))
    target = outside / f"moved-{path.name}"
    how = chance.choice(["moved", "moved", "moved", "dangling", "itself", "up"])
    if how == "moved":
        shutil.move(path, target)
    elif path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    where = {"moved": target, "dangling": outside / "nothing", "itself": path, "up": run.parent}[how]
    path.symlink_to(where if chance.random() < 0.5 else os.path.relpath(where, path.parent))
    return f"{how} {path.relative_to(run)}"


def unread(folder: Path) -> None:
    """Set back when the files of a folder were read last, so that reading them leaves a trace."""
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, ns=(0, path.stat().st_mtime_ns))


def read_files(folder: Path) -> list[str]:
    """Files that were read since; none are known on a file system that keeps no such times."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.stat().st_atime_ns)


def _changed(value: Any, chance: random.Random) -> Any:
    path = chance.choice(list(places(value)) or [()])
    if not path:
        return chance.choice(STRANGE)
    holder = value
    for part in path[:-1]:
        holder = holder[part]
    holder[path[-1]] = chance.choice(STRANGE)
    return value


chances = st.integers(0, 2**32).map(random.Random)
