"""Digests of rows are equal exactly when the rows are, whatever batch or slice they come from."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.store.digests import fingerprints
from bench.store.schema import NOISE

SEEDS = st.integers(0, 3)
MOVES = st.lists(st.fixed_dictionaries({"seed": SEEDS, "radius": st.sampled_from([0.0, 0.15])}), max_size=2)
NOISES = st.none() | st.fixed_dictionaries({"seed": SEEDS | st.none(), "moves": MOVES | st.none()})
KINDS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "recipes": (pa.list_(NOISE), st.none() | st.lists(NOISES, max_size=3)),
    "bytes": (pa.binary(), st.none() | st.binary(max_size=2)),
    "texts": (pa.string(), st.none() | st.text("aé", max_size=2)),
    "numbers": (pa.list_(pa.float64()), st.none() | st.lists(st.none() | st.sampled_from([0.0, 1.0]), max_size=2)),
    "flags": (pa.bool_(), st.none() | st.booleans()),
    "integers": (pa.int32(), st.none() | SEEDS),
}


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_rows_have_the_same_digest_exactly_if_they_are_the_same(kind: str, data: st.DataObject) -> None:
    arrow, rows = KINDS[kind]
    values = data.draw(st.lists(rows, max_size=6))
    column = pa.array(values, arrow)
    found = fingerprints(column)
    assert [[a == b for b in found] for a in found] == [[a == b for b in values] for a in values]
    assert [digest is None for digest in found] == [value is None for value in values]
    first = data.draw(st.integers(0, len(values)))
    assert fingerprints(column[first:]) == found[first:]
    assert fingerprints(pa.concat_arrays([column[first:], column[:first]])) == found[first:] + found[:first]


def test_a_digest_sees_the_smallest_change() -> None:
    a, b = pa.array([[0.1]], pa.list_(pa.float64())), pa.array([[0.1 + 2**-56]], pa.list_(pa.float64()))
    assert fingerprints(a) != fingerprints(b)
