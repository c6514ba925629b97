"""The imports of the two packages, read from their source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("tts", "bench")


@dataclass(frozen=True)
class Import:
    """One module imports another; ``always``: whenever it is imported itself, not only when a function runs."""

    source: str
    target: str
    always: bool


def files() -> list[Path]:
    """Every Python file of the packages, sorted."""
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def module_of(path: Path) -> str:
    """A file's dotted name."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> frozenset[str]:
    """Every module of the packages."""
    return frozenset(module_of(path) for path in files())


@cache
def imports() -> tuple[Import, ...]:
    """Every import of the packages: names of own modules are complete, of other packages only the first part."""
    return tuple(found for path in files() for found in _of_file(path))


def _of_file(path: Path) -> Iterator[Import]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node, always in _statements(tree, True):
        for target in _targets(node):
            yield Import(module_of(path), target, always)


def _statements(node: ast.AST, always: bool) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    """Import statements, without those that are only for type checkers."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, always
        elif not (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)):
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _statements(child, always and not inside)


def _targets(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [_known(alias.name) for alias in node.names]
    assert node.module is not None  # there are no relative imports
    return [_known(f"{node.module}.{alias.name}") for alias in node.names]


def _known(name: str) -> str:
    """The module that defines a dotted name; for other packages, the first part of the name."""
    if name.partition(".")[0] not in PACKAGES:
        return name.partition(".")[0]
    while name not in modules():
        name = name.rpartition(".")[0]
    return name


def circles() -> list[list[str]]:
    """Groups of modules that import one another, at any time."""
    edges: dict[str, set[str]] = {name: set() for name in modules()}
    for found in imports():
        if found.target in edges and found.target != found.source:
            edges[found.source].add(found.target)
    return [group for group in _strongly_connected(edges) if len(group) > 1]


def _strongly_connected(edges: dict[str, set[str]]) -> Iterator[list[str]]:
    """Groups of nodes that can all reach one another (Kosaraju's algorithm)."""
    order: list[str] = []
    seen: set[str] = set()

    def visit(node: str, along: dict[str, set[str]], out: list[str]) -> None:
        stack = [(node, iter(sorted(along[node])))]
        seen.add(node)
        while stack:
            at, following = stack[-1]
            step = next((each for each in following if each not in seen), None)
            if step is None:
                out.append(at)
                stack.pop()
            else:
                seen.add(step)
                stack.append((step, iter(sorted(along[step]))))

    for node in sorted(edges):
        if node not in seen:
            visit(node, edges, order)
    backwards: dict[str, set[str]] = {name: set() for name in edges}
    for node, targets in edges.items():
        for target in targets:
            backwards[target].add(node)
    seen.clear()
    for node in reversed(order):
        if node not in seen:
            group: list[str] = []
            visit(node, backwards, group)
            yield sorted(group)
