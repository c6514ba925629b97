"""The structure of the packages: folders import in one direction, and files and functions stay small."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from structure.imports import ROOT, circles, files, imports, module_of

BENCH = ("commands", "report", "statistics", "run", "sinks", "workers", "store", "study")
"""The folders of the harness: each imports only from those after it."""

RAY = ("bench.workers.on_ray", "bench.benchmarks.virtual")
"""The only places that import Ray; the benchmark has actors of its own."""

TORCHLESS = ("tts.search", "tts.noise", "tts.plan", "tts.settings", "tts.errors", "tts.registry", "tts.engine.requests")
"""Modules that drivers and the command line import; torch would cost them seconds."""

FILE_LINES = 300
FUNCTION_LINES = 60
FAMILY_LINES = 60


def room(module: str) -> str:
    """The folder of ``bench`` that a module is in."""
    return module.split(".")[1] if module.startswith("bench.") else ""


def test_the_library_does_not_know_the_harness() -> None:
    assert [found for found in imports() if found.source.startswith("tts") and found.target.startswith("bench")] == []


def test_rooms_import_one_way() -> None:
    upward = [
        f"{found.source} -> {found.target}"
        for found in imports()
        if room(found.source) in BENCH
        and room(found.target) in BENCH
        and BENCH.index(room(found.source)) > BENCH.index(room(found.target))
    ]
    assert upward == []


def test_nothing_needs_the_benchmarks() -> None:
    assert [
        found for found in imports() if room(found.target) == "benchmarks" and room(found.source) != "benchmarks"
    ] == []


def test_no_modules_import_one_another() -> None:
    assert circles() == []


def test_only_one_folder_knows_ray() -> None:
    others = {found.source for found in imports() if found.target == "ray" and not found.source.startswith(RAY)}
    assert others == set()


@pytest.mark.parametrize("package", TORCHLESS)
def test_searches_and_requests_come_without_torch(package: str) -> None:
    assert [name for name in reached(package) if name in ("torch", "ray", "diffusers", "transformers")] == []


def test_statistics_come_without_ray() -> None:
    assert "ray" not in reached("bench.statistics")


def test_engines_come_without_what_reads_runs() -> None:
    """Reading runs needs pandas, through Arrow's data sets, which would cost each engine half a second at its start."""
    assert not {"pandas", "bench.store.reader"} & reached("bench.workers.on_ray")


def reached(package: str) -> set[str]:
    """All modules that are imported with a package's modules, own ones and others."""
    seen, queue = set[str](), [name for name in map(module_of, files()) if f"{name}.".startswith(f"{package}.")]
    while queue:
        at = queue.pop()
        if at not in seen:
            seen.add(at)
            queue += [found.target for found in imports() if found.source == at and found.always]
    return seen


def test_files_are_small() -> None:
    """The tests' own, too."""
    paths = [*files(), *(ROOT / "tests").rglob("*.py")]
    sizes = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    assert {path: lines for path, lines in sizes.items() if lines > FILE_LINES} == {}


def test_functions_are_small() -> None:
    long = [
        f"{path.relative_to(ROOT)}:{node.name} has {node.end_lineno - node.lineno + 1} lines"
        for path in files()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > FUNCTION_LINES
    ]
    assert long == []


def test_docstrings_say_something() -> None:
    pointers = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in [*files(), *(ROOT / "tests").rglob("*.py")]
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if line.lstrip().startswith('"""See :')
    ]
    assert pointers == []


def code_lines(path: Path) -> int:
    """Number of lines of a file that are code: neither empty, nor comment, nor docstring."""
    text = path.read_text(encoding="utf-8")
    told: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            told.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = enumerate(text.splitlines(), 1)
    return sum(bool(line.strip()) and number not in told and line.lstrip()[0] != "#" for number, line in lines)


def test_families_of_models_are_small() -> None:
    lines = {path.name: code_lines(path) for path in (ROOT / "tts" / "models" / "families").glob("*.py")}
    assert len(lines) > 9
    assert {name: count for name, count in lines.items() if count > FAMILY_LINES} == {}
