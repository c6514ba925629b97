"""Read lists of numbers from a pickle without loading it, by an interpreter that has no calls."""

from __future__ import annotations

import pickletools
from typing import Any

from tts.rewards.remote.wire import Unreadable

MARK = object()
SINGLE = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
GIVEN = {
    *("BINFLOAT", "FLOAT", "BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "LONG4"),
    *("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE", "SHORT_BINBYTES", "BINBYTES"),
}
EMPTY = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": list}
SKIPPED = {"PROTO", "FRAME"}
MOST = 1_000_000
"""Most operations that are interpreted."""


def numbers(content: bytes, key: str) -> list[Any]:
    """The list that a pickle holds, alone or under a key of a dictionary.

    Raises:
        Unreadable: it holds anything else, such as objects of a class.
    """
    found = _value(content)
    if isinstance(found, dict):
        found = found.get(key)
    if not isinstance(found, list) or not all(isinstance(each, int | float | None) for each in found):
        raise Unreadable(f"its pickle holds no list of numbers as '{key}'")
    return found


def _value(content: bytes) -> Any:
    stack, memo = list[Any](), dict[int, Any]()
    try:
        for count, (operation, argument, _) in enumerate(pickletools.genops(content)):
            if count > MOST:
                raise Unreadable("its pickle is too long")
            if operation.name == "STOP":
                [found] = stack
                return found
            _step(operation.name, argument, stack, memo)
    except (ValueError, IndexError, KeyError, TypeError, UnicodeDecodeError):
        raise Unreadable("its answer is not a pickle") from None
    raise Unreadable("its pickle has no end")


def _step(name: str, argument: Any, stack: list[Any], memo: dict[int, Any]) -> None:
    if name in GIVEN:
        stack.append(argument)
    elif name in SINGLE:
        stack.append(SINGLE[name])
    elif name in EMPTY:
        stack.append(EMPTY[name]())
    elif name == "MARK":
        stack.append(MARK)
    elif name in ("MEMOIZE", "BINPUT", "LONG_BINPUT", "PUT"):
        memo[len(memo) if name == "MEMOIZE" else int(argument)] = stack[-1]
    elif name in ("BINGET", "LONG_BINGET", "GET"):
        stack.append(memo[int(argument)])
    elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
        size = int(name[-1])
        stack[-size:] = [stack[-size:]]
    elif name in ("APPENDS", "SETITEMS", "LIST", "TUPLE", "DICT"):
        _gather(name, stack)
    elif name in ("APPEND", "SETITEM"):
        at = -1 if name == "APPEND" else -2
        items = stack[at:]
        del stack[at:]
        _into(stack[-1], items)
    elif name not in SKIPPED:
        raise Unreadable(f"its pickle holds objects ({name}), which are not loaded; make it answer with lists")


def _gather(name: str, stack: list[Any]) -> None:
    at = len(stack) - 1 - stack[::-1].index(MARK)
    items = stack[at + 1 :]
    del stack[at:]
    if name in ("APPENDS", "SETITEMS"):
        _into(stack[-1], items)
    elif name == "DICT":
        stack.append({})
        _into(stack[-1], items)
    else:
        stack.append(items)


def _into(target: Any, items: list[Any]) -> None:
    if isinstance(target, dict):
        target.update(zip(items[::2], items[1::2], strict=True))
    elif isinstance(target, list):
        target.extend(items)
    else:
        raise Unreadable("its pickle is malformed")
