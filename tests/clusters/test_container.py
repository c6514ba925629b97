"""The steps of the container image, parsed and run without a container tool; ``make container`` builds the image."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from cluster_files import ROOT

SECRET = re.compile(r"token|secret|password|passwd|api_?key|credential", re.IGNORECASE)

PIP = """#!/bin/sh
printf '%s\\n' "$@"
"""


def steps() -> list[tuple[str, str]]:
    """The instructions of the image and their arguments, continued lines joined."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines if line)]


def arguments(name: str) -> list[str]:
    """Arguments of every instruction of a name, in order."""
    return [rest for found, rest in steps() if found == name]


def package() -> Any:
    """The package's description in pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def seen(path: Path) -> bool:
    """Whether a build sees a file; the last rule of .dockerignore that matches its path decides."""
    rules = [line for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
    names = [str(path), *(str(parent) for parent in path.parents)]
    decisive = [rule for rule in rules if any(fnmatch(name, rule.lstrip("!")) for name in names)]
    return bool(decisive) and decisive[-1].startswith("!")


def context() -> Iterator[Path]:
    """The files of the repository that a build sees."""
    listed = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).splitlines()
    return filter(seen, map(Path, listed))


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The build's folder with everything that the first stage copies from the build context."""
    folder = tmp_path_factory.mktemp("src")
    given = list(context())
    for words in map(shlex.split, arguments("COPY")):
        if words[0].startswith("--from"):
            continue
        for source in words[:-1]:
            found = [path for path in given if source in (str(path), path.parts[0])]
            assert found, f"COPY {source} finds nothing"
            for path in found:
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / path, folder / path)
    return folder


def installed(folder: Path, **given: str) -> list[list[str]]:
    """The words of the steps' calls of pip, with a build's arguments."""
    (folder / "pip").write_text(PIP)
    (folder / "pip").chmod(0o755)
    defaults = dict(argument.split("=", 1) for argument in arguments("ARG"))
    lines = []
    for command in (command for command in arguments("RUN") if "pip install" in command):
        environment = {**defaults, **given, "PATH": f"{folder}:/usr/bin:/bin"}
        run = subprocess.run(["sh", "-eu", "-c", command], env=environment, check=True, capture_output=True, text=True)
        lines.append(run.stdout.split())
    return lines


def test_the_base_is_fixed_by_tag_and_digest() -> None:
    (base,) = [argument for argument in arguments("ARG") if argument.startswith("BASE=")]
    assert re.fullmatch(r"BASE=docker\.io/library/python:3\.\d+\.\d+-slim-\w+@sha256:[0-9a-f]{64}", base)
    assert {rest.split()[0] for rest in arguments("FROM")} == {"${BASE}"}
    version = tuple(map(int, re.findall(r"\d+", base)[:2]))
    assert version >= tuple(map(int, re.findall(r"\d+", package()["requires-python"])))


def test_the_image_runs_as_an_ordinary_user() -> None:
    assert arguments("USER")[-1] == "1000:1000"
    assert steps().index(("USER", "1000:1000")) > max(n for n, (name, _) in enumerate(steps()) if name == "RUN")


def test_no_step_has_a_secret() -> None:
    assert [step for step in steps() if SECRET.search(step[1])] == []


def test_a_build_sees_the_package_alone() -> None:
    assert {path.parts[0] for path in context()} == {
        *("LICENSE", "README.md", "bench", "constraints.txt", "pyproject.toml", "tts")
    }


def test_a_build_of_the_image_for_kubernetes_sees_what_it_copies() -> None:
    readme = (ROOT / "clusters" / "README.md").read_text(encoding="utf-8")
    (sources,) = re.findall(r"^COPY --chown=ray (.+) \S+$", readme, re.MULTILINE)
    assert [name for name in sources.split() if not seen(Path(name))] == []


def test_all_that_the_package_is_made_of_is_copied(copied: Path) -> None:
    described = tomllib.loads((copied / "pyproject.toml").read_text(encoding="utf-8"))
    names = [described["project"]["readme"], *described["project"]["license-files"]]
    names += described["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert [name for name in names if not (copied / name).exists()] == []
    assert list((copied / "tts" / "weights").glob("*.safetensors"))


def test_a_cpu_takes_builds_without_cuda(copied: Path) -> None:
    torch, whole = installed(copied)
    assert torch[:3] == ["install", "--constraint", "constraints.txt"]
    assert torch[3:] == ["--index-url", "https://download.pytorch.org/whl/cpu", "torch", "torchvision"]
    assert whole == ["install", "--constraint", "constraints.txt", "."]


def test_a_gpu_takes_the_usual_builds_and_extras_are_the_packages(copied: Path) -> None:
    extras = ",".join(package()["optional-dependencies"])
    torch, whole = installed(copied, DEVICE="cuda", EXTRAS=extras)
    assert torch[3:] == ["torch", "torchvision"]
    assert whole[-1] == f".[{extras}]"
    page = (ROOT / "docs" / "guides" / "container.md").read_text(encoding="utf-8")
    shown = [name for names in re.findall(r"EXTRAS=([\w,]+)", page) for name in names.split(",")]
    assert shown
    assert set(shown) <= set(package()["optional-dependencies"])


def test_another_device_is_refused(copied: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        installed(copied, DEVICE="tpu")
    assert refused.value.stderr == "DEVICE is cpu or cuda, not tpu\n"


def test_the_entry_point_runs_on_what_was_copied(copied: Path) -> None:
    (words,) = map(json.loads, arguments("ENTRYPOINT"))
    module, function = package()["scripts"][words[0]].split(":")
    code = f"import sys, {module} as m; assert m.__file__.startswith({str(copied)!r}); sys.exit(m.{function}())"
    arguments_ = [sys.executable, "-c", code, *json.loads(arguments("CMD")[0])]
    run = subprocess.run(arguments_, cwd=copied, check=True, capture_output=True, text=True)
    assert "Usage" in run.stdout


def test_scripts_are_in_order() -> None:
    subprocess.run([Path(sys.executable).parent / "shellcheck", ROOT / "tests" / "container.sh"], check=True)
    for command in arguments("RUN"):
        subprocess.run(["sh", "-n", "-c", command], check=True)
