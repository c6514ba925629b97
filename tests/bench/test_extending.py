"""Code on the pages of docs/extend works as printed; ``tts-bench check`` names the faults of broken plug-ins."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import bench, refused, size

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "extend").glob("*.md"))
PAGE = "".join(page.read_text(encoding="utf-8") for page in PAGES)
FILES = dict(re.findall(r"^```python\n# (\S+\.py)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working folder with the page's files and some faulty ones."""
    place = tmp_path_factory.mktemp("extending")
    for name, code in {**FILES, **FAULTY}.items():
        (place / name).write_text(code)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.syspath_prepend(place)
        yield place
    for name in [*FILES, *FAULTY]:
        sys.modules.pop(name.removesuffix(".py"), None)


FAULTY = {
    "fault_search.py": """
from tts.search.base import Search
from tts.search.naive import Naive


class Unfinished(Search):
    def run(self, problem):
        yield []


class Thrower(Naive):
    def run(self, problem):
        yield [problem.trajectory()]
        raise RuntimeError("no luck\\nat all")


class Frugal(Naive):
    def nfe(self, plan):
        return super().nfe(plan) - 1


class Silent(Naive):
    def run(self, problem):
        yield [problem.trajectory()]
""",
    "fault_reward.py": """
import torch


def raw(images, conditions):
    return images.float().mean(dim=(1, 2, 3)) - images.float().mean()


def words(images, conditions):
    return [float(len(condition.split())) for condition in conditions]
""",
    "fault_syntax.py": "def broken(:\n",
    "fault_import.py": "import no_such_package\n",
    "no_such_file.py": "import no_such\n",
    "fault_kind.py": "NUMBER = 3\n\n\nclass Nothing:\n    pass\n",
    "fault_exit.py": "raise SystemExit(3)\n",
}


def test_every_block_of_the_pages_is_a_file_and_short() -> None:
    lines = {name: sum(bool(line) for line in code.splitlines()) for name, code in FILES.items()}
    assert PAGE.count("```python\n") == len(lines) == 7
    assert max(lines.values()) < 40


@pytest.mark.parametrize(
    ("arguments", "last"),
    [
        (["halfway:HalfWay", "--set", "N=8"], "search halfway:HalfWay: keeps to all 13 rules"),
        (["contrast:redness"], "reward contrast:redness: keeps to all 7 rules"),
        (["contrast:Contrast", "--condition", "a cat"], "reward contrast:Contrast: keeps to all 7 rules"),
        (["colours:Colours", "--set", "sampler.steps=5"], "model colours:Colours: keeps to all 9 rules"),
        (["euler:Euler", "--set", "steps=5"], "sampler euler:Euler: keeps to all 12 rules"),
        (["spread:ColourSpread"], "metric spread:ColourSpread: keeps to all 6 rules"),
        (["tts.samplers.heun:StochasticHeun"], "sampler tts.samplers.heun:StochasticHeun: keeps to all 12 rules"),
        (["frechet_judge"], "metric frechet_judge: keeps to all 6 rules"),
        (["beam", "--set", "B=3"], "search beam: keeps to all 13 rules"),
    ],
)
def test_what_the_page_shows_is_sound(folder: Path, arguments: list[str], last: str) -> None:
    result = bench("check", *arguments)
    lines = result.out.splitlines()
    assert (result.code, result.err, lines[-1]) == (0, "", last)
    assert all(line.startswith("ok     ") for line in lines[:-1])


def test_the_pages_script_runs(folder: Path) -> None:
    runpy.run_path("try_it.py", run_name="__main__")
    assert size(folder / "red.png") == (16, 16)


def test_the_pages_tests_run(folder: Path) -> None:
    environment = {"PYTHONPATH": str(ROOT), "PATH": "", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_halfway.py"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "26 passed" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "broken", "said"),
    [
        (["fault_search:Unfinished"], 1, "It has every method of its kind: lacks nfe()"),
        (["fault_search:Thrower"], 10, "raises RuntimeError: no luck (fault_search.py:14)"),
        (["fault_search:Frugal"], 10, "It spends as many forwards as nfe(plan) says: has spent"),
        (["fault_search:Silent"], 10, "ended with None; a search must return the evaluation that it chose"),
        (["fault_reward:raw"], 1, "use no statistics over the batch"),
        (
            ["fault_reward:words"],
            5,
            "raises AttributeError: 'int' object has no attribute 'split' (fault_reward.py:10)",
        ),
        (["fault_reward:words", "--condition", "a cat"], 0, "keeps to all 7 rules"),
    ],
)
def test_what_is_wrong_is_said_once_in_one_line(folder: Path, arguments: list[str], broken: int, said: str) -> None:
    result = bench("check", *arguments)
    lines = result.out.splitlines()
    assert (result.code, result.err) == (1 if broken else 0, "")
    assert result.out.count(said) == 1
    assert sum(line.startswith("WRONG  ") for line in lines) == min(broken, 1)
    if broken:
        assert f": {broken} of " in lines[-1]
        assert lines[-1].endswith(f"{broken - 1} of them for a reason that stands above" if broken > 1 else "broken")
    assert all(line.startswith(("ok     ", "WRONG  ")) for line in lines[:-1])
    assert "Traceback" not in result.out


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("halfway", "name it as module:Class, for example mine:Greedy of the file mine.py"),
        ("halfway:Halfway", "halfway has no 'Halfway'; it has"),
        ("nowhere:Mine", "no module 'nowhere' is here; run it in the folder of its file"),
        ("fault_kind:NUMBER", "is no search, model, reward, sampler or metric; derive a class from"),
        ("fault_kind:Nothing", "is no search, model, reward, sampler or metric; derive a class from"),
        ("fault_syntax:broken", "its module raises SyntaxError: invalid syntax (fault_syntax.py, line 1)"),
        ("fault_import:x", "ModuleNotFoundError: No module named 'no_such_package' (fault_import.py:1)"),
        ("no_such_file:x", "ModuleNotFoundError: No module named 'no_such' (no_such_file.py:1)"),
        ("fault_exit:x", "its module raises SystemExit: 3 (fault_exit.py:1)"),
    ],
)
def test_what_cannot_be_looked_at_is_named(folder: Path, target: str, message: str) -> None:
    refused(message, "check", target)


def test_a_wrong_setting_is_named(folder: Path) -> None:
    refused("search halfway:HalfWay: unknown key 'M'; known: N", "check", "halfway:HalfWay", "--set", "M=3")
