"""Tests that are to be alone run alone, and other tests run side by side."""

from __future__ import annotations

import ast
import fcntl
import threading
from pathlib import Path

from rooms import room

TESTS = Path(__file__).parent


def test_many_at_once_or_one_alone(tmp_path: Path) -> None:
    there, seen, guard = [0], set[tuple[bool, int]](), threading.Lock()
    together = threading.Barrier(3, timeout=60)

    def visit(alone: bool) -> None:
        with room(tmp_path, alone):
            with guard:
                there[0] += 1
            if not alone:
                together.wait()  # it returns only when three are there at once
            with guard:
                seen.add((alone, there[0]))
            if not alone:
                together.wait()
            with guard:
                there[0] -= 1

    many = [threading.Thread(target=visit, args=(False,)) for _ in range(3)]
    for thread in many:
        thread.start()
    for thread in many:
        thread.join()
    alone = [threading.Thread(target=visit, args=(True,)) for _ in range(4)]
    for thread in alone:
        thread.start()
    for thread in alone:
        thread.join()
    assert seen == {(False, 3), (True, 1)}


def test_who_waits_to_be_alone_is_not_passed_by(tmp_path: Path) -> None:
    order: list[str] = []

    def visit(name: str, alone: bool) -> None:
        with room(tmp_path, alone):
            order.append(name)

    with room(tmp_path, alone=False):
        first = threading.Thread(target=visit, args=("alone", True))
        first.start()
        while not _is_held(tmp_path / "door"):
            pass
        second = threading.Thread(target=visit, args=("other", False))
        second.start()
        assert order == []
    first.join()
    second.join()
    assert order == ["alone", "other"]


def _is_held(lock: Path) -> bool:
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(file, fcntl.LOCK_UN)
        return False


def test_the_tests_and_files_that_the_settings_name_are_there() -> None:
    files = {path.stem: path.read_text("utf-8") for path in TESTS.rglob("test_*.py")}
    for node in ast.parse((TESTS / "conftest.py").read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in ("ON_RAY", "SLOW"):
            named = {each.value for each in ast.walk(node.value) if isinstance(each, ast.Constant)}
            assert named <= set(files)
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "ALONE":
            names = ast.literal_eval(node.value)
            assert all(any(f"def {name}(" in text for text in files.values()) for name in names)
            assert len(names) > 1
