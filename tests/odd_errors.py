"""Errors of users' code that are no plain exceptions, and searches that raise them."""

from __future__ import annotations

from typing import Any

from tts.search.naive import Naive


class Panic(BaseException):
    """An error of code in Rust, as packages of Python raise it."""


class Mute(Exception):
    """An error that cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


class Panics(Naive):
    """A search that raises one."""

    def run(self, problem: Any) -> Any:
        yield [problem.trajectory()]
        raise Panic("rust")


class PanicsWhenClosed(Naive):
    """One that raises it at the end of another fault."""

    def run(self, problem: Any) -> Any:
        try:
            yield 3
        finally:
            raise Panic("rust")


class IsMute(Naive):
    """One whose error has a fault of its own."""

    def run(self, problem: Any) -> Any:
        yield [problem.trajectory()]
        raise Mute


class SaysHalfACharacter(Naive):
    """One whose error no file can hold, as those about files whose names are no UTF-8."""

    def run(self, problem: Any) -> Any:
        yield [problem.trajectory()]
        raise OSError("no file \udcff")
