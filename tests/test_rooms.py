"""Tests marked ``alone`` run alone, and other tests run side by side."""

from __future__ import annotations

import fcntl
import threading
from pathlib import Path

from rooms import room


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
