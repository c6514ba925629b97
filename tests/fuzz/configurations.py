"""Configurations that are nearly right: a good one with a few values, keys and places changed."""

from __future__ import annotations

import copy
import re
import string
from collections.abc import Iterator
from typing import Any

import yaml
from hypothesis import strategies as st
from pydantic import BaseModel

from bench.study.config import RunConfig
from bench.study.engines import Engines
from bench.study.protocol import Problems, Protocol
from bench.study.scorers import Scorers
from tts.registry import SEARCHES

GOOD: dict[str, Any] = {
    "model": {"name": "cifar10", "sampler": {"name": "heun", "steps": 4, "S_churn": 40.0}},
    "rewards": ["brightness", {"name": "compressibility", "quality": 80}],
    "held_out": ["class_judge"],
    "searches": ["naive", {"name": "best_of_n", "budget": {"N": [1, 2]}}, {"name": "eps_greedy", "N": 2, "K": 1}],
    "problems": {"conditions": [0, 1], "seeds": 2},
    "engines": {"backend": "local", "count": 1, "batch": 4, "threads": 1},
    "output": "results/out",
}

NESTED: dict[str, type[BaseModel]] = {
    "engines": Engines,
    "problems": Problems,
    "protocol": Protocol,
    "scorers": Scorers,
}

WORDS = st.text(string.ascii_letters + string.digits + "._-/ ~{}<>$%é\u202e\x00\n\ud800", max_size=12)
STRANGE = st.sampled_from(
    [
        *(
            "~nobody_of_this_name/x",
            "..",
            "/",
            "",
            " ",
            "{name.x}",
            "{name:>99999999}",
            "{",
            "s3://",
            "file:///etc/passwd",
        ),
        *("\x00", "\ud800", ".x:y", "no_such_module:Thing", "NaN", "null", "a" * 5000, "-1", "1e400", "0x10", "$HOME"),
    ]
)
NUMBERS = st.sampled_from(
    [0, -1, 1, 2, 7, 10**6, 10**18, 10**30, -(10**30), 0.5, -0.0, 1e-320, 1e308, float("nan"), float("inf")]
)
PLAIN = st.none() | st.booleans() | NUMBERS | STRANGE | WORDS | st.dates() | st.binary(max_size=4)
VALUES = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "budget", "x"]) | WORDS, inner, max_size=3)
    ),
    max_leaves=6,
)


def known_keys() -> dict[tuple[str, ...], st.SearchStrategy[Any]]:
    """Every setting of a run by its place, and those of a search, with values of about their kind."""
    fields = {(name,): field for name, field in RunConfig.model_fields.items()}
    fields |= {(outer, name): field for outer, kind in NESTED.items() for name, field in kind.model_fields.items()}
    fields |= {("searches", "1", name): field for name, field in SEARCHES.get("best_of_n").model_fields.items()}
    return {place: _kind(str(field.annotation)) for place, field in fields.items()}


def _kind(annotation: str) -> st.SearchStrategy[Any]:
    if "int" in annotation or "float" in annotation:
        return NUMBERS
    if "Literal" in annotation:
        return st.sampled_from(re.findall("'([^']*)'", annotation) or ["auto"])
    return STRANGE | WORDS if "str" in annotation and "list" not in annotation else VALUES


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Places of all values of a nested configuration."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield (*path, key)
        yield from places(each, (*path, key))


@st.composite
def nearly_right(draw: st.DrawFn) -> dict[str, Any]:
    """A good configuration with one to three changes."""
    values = copy.deepcopy(GOOD)
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
        _change(values, draw)
    return values


KEYS = known_keys()


def _alike(value: object) -> st.SearchStrategy[Any]:
    """Values of the same kind, which go further than others before they are refused; now and then any other."""
    if isinstance(value, bool):
        return st.booleans() | NUMBERS
    if isinstance(value, int | float):
        return NUMBERS | NUMBERS | NUMBERS | PLAIN
    if isinstance(value, str):
        return STRANGE | WORDS | STRANGE | PLAIN
    return VALUES


def _change(values: dict[str, Any], draw: st.DrawFn) -> None:
    path: tuple[Any, ...]
    if draw(st.sampled_from([True, True, False])):
        path, kind = draw(st.sampled_from(list(places(values)) or [("model",)])), None
    else:
        path = draw(st.sampled_from(list(KEYS)))
        kind = KEYS[path]
    found = _holder(values, path)
    if found is None:
        return
    holder, last = found
    match draw(st.sampled_from(["value"] * 6 + ["remove", "misspell"])):
        case "value":
            there = holder[last] if isinstance(holder, list) else holder.get(last)
            holder[last] = draw(_alike(there) if kind is None else kind)
        case "remove" if not isinstance(holder, dict) or last in holder:
            del holder[last]
        case "misspell" if isinstance(holder, dict) and isinstance(last, str):
            at = draw(st.integers(0, len(last)))
            holder[last[:at] + draw(st.sampled_from("xs_ ")) + last[at:]] = holder.pop(last, 1)


def _holder(values: dict[str, Any], path: tuple[Any, ...]) -> tuple[Any, Any] | None:
    """The mapping or list that holds a place, made where a mapping lacks it, and the key there; None: no such place."""
    holder: Any = values
    for part in path[:-1]:
        key = _key(holder, part)
        if key is None:
            return None
        holder = holder.setdefault(key, {}) if isinstance(holder, dict) else holder[key]
    last = _key(holder, path[-1])
    return None if last is None else (holder, last)


def _key(holder: Any, part: Any) -> Any:
    """A part of a path as the key of what holds it; None if it can hold no such part."""
    if isinstance(holder, dict):
        return part
    if isinstance(holder, list) and str(part).isdecimal() and int(part) < len(holder):
        return int(part)
    return None


ODD = [
    *(b"\t", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\r", b"\xe9", b"'", b"&a [*a]", b"*a", b"<<: {x: 1}\n", b"---\n"),
    *(b"!!python/object:os.system x\n", b"? [a]\n", b"{" * 2000, b"- " * 500, b"seed: 1\nseed: 2\n", b"%YAML 9.9\n"),
    *(b"0777", b"12:30:45", b"2001-99-99", b"|\n  x"),
]
"""YAML that few people write, and bytes that are none."""


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    """The text of a good configuration, damaged: cut, with other bytes in it, with YAML that few people write."""
    whole = yaml.safe_dump(GOOD).encode()
    at = draw(st.integers(0, len(whole)))
    piece = draw(st.sampled_from(ODD) | st.binary(max_size=6))
    return whole[:at] + piece + whole[draw(st.integers(at, len(whole))) :]


def bombs() -> list[bytes]:
    """Small texts that stand for very much, or for themselves."""
    layers = "".join(f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]\n" for k in range(1, 12))
    return [
        b"model: &a {x: *a}\nrewards: [brightness]\nsearches: [naive]\noutput: out\n",
        b"model: cifar10\nrewards: &a [*a]\nsearches: [naive]\noutput: out\n",
        b"a0: &a0 [x, x, x]\n" + layers.encode() + b"model: *a11\noutput: out\n",
        b"[" * 100_000,
        b"# " + b"x" * 40_000_000,
    ]
