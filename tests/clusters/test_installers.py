"""Installations by the files in clusters/: pinned releases, and archives with pinned digests."""

from __future__ import annotations

import hashlib
import re
import subprocess
import tarfile
from pathlib import Path

import pytest
from cluster_files import ALL, AUTOSCALER, ROOT, commands, documents, text

PUBLISHED = r"\b[0-9a-f]{64}\b"
"""The digest of an archive."""

CURL = """#!/usr/bin/env bash
while (($#)) && [[ $1 != -o ]]; do shift; done
cp "$HOME/archive" "$2"
"""


def pinned() -> set[str]:
    """Packages whose releases constraints.txt names."""
    return set(re.findall(r"^([\w-]+)==", (ROOT / "constraints.txt").read_text(), re.MULTILINE))


def installer(name: str) -> str:
    """The command that fetches the installer on a machine."""
    (config,) = documents(name)
    (found,) = [command for command in config["setup_commands"] if "curl" in command]
    return str(found)


@pytest.mark.parametrize("name", ALL)
def test_nothing_that_is_fetched_goes_to_a_shell(name: str) -> None:
    assert not re.search(r"(curl|wget)[^\n;]*\|\s*(sudo\s+)?\w*sh\b", text(name))
    assert not re.search(r"http://(?!HOST|127\.0\.0\.1)", text(name))


@pytest.mark.parametrize("name", ALL)
def test_every_package_is_of_a_named_release(name: str) -> None:
    for words in commands(name, "pip"):
        if words[0] != "install":
            continue  # pip wheel, which builds only this package
        assert "-c" in words, words
        after = words[words.index("-c") + 1 :]
        assert after[0].endswith("constraints.txt")
        packages = [re.split(r"\[|==", word)[0] for word in after[1:] if not word.endswith(".whl")]
        assert {package for package in packages if not package.startswith("-")} <= pinned()


@pytest.mark.parametrize("name", AUTOSCALER)
def test_an_archive_is_unpacked_if_it_is_the_published_one(name: str, tmp_path: Path) -> None:
    archive = made(tmp_path)
    command = re.sub(PUBLISHED, hashlib.sha256(archive.read_bytes()).hexdigest(), installer(name))
    assert run(command, tmp_path) == 0
    assert subprocess.run([tmp_path / ".local/bin/uv"], check=False, capture_output=True).stdout == b"uv\n"
    archive.unlink()
    assert run(command, tmp_path) == 0  # the program is there already


@pytest.mark.parametrize("name", AUTOSCALER)
def test_another_archive_is_not_unpacked(name: str, tmp_path: Path) -> None:
    made(tmp_path)
    assert run(installer(name), tmp_path) != 0
    assert not (tmp_path / ".local").exists()


def test_both_launchers_install_alike() -> None:
    first, second = (installer(name) for name in AUTOSCALER)
    assert first == second
    assert len(re.findall(PUBLISHED, first)) == 1
    assert re.search(r"/releases/download/\d+\.\d+\.\d+/", first)


def made(home: Path) -> Path:
    """Make an archive of a program, and a stand-in for the command that fetches it."""
    program = home / "release" / "uv"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho uv\n")
    program.chmod(0o755)
    with tarfile.open(home / "archive", "w:gz") as archive:
        archive.add(program, "uv-x86_64-unknown-linux-gnu/uv")
    curl = home / "stand-ins" / "curl"
    curl.parent.mkdir()
    curl.write_text(CURL)
    curl.chmod(0o755)
    return home / "archive"


def run(command: str, home: Path) -> int:
    """Run a command in a home folder; returns its exit code."""
    variables = {"HOME": str(home), "PATH": f"{home}/stand-ins:/usr/bin:/bin"}
    return subprocess.run(["bash", "-c", command], env=variables, capture_output=True, timeout=20).returncode
