"""Names, indices and ranges of ImageNet's classes."""

from __future__ import annotations

from typing import Any

import pytest

from tts import imagenet
from tts.errors import SettingError
from tts.models.classes import class_condition, class_label


def test_there_are_a_thousand_names_and_no_two_are_the_same() -> None:
    assert len(set(imagenet.names())) == imagenet.CLASSES
    assert (imagenet.names()[0], imagenet.names()[207], imagenet.names()[999]) == (
        "tench",
        "golden retriever",
        "toilet tissue",
    )


@pytest.mark.parametrize(("value", "place"), [("tench", 0), (7, 7), ("7", 7), ("golden retriever", 207)])
def test_an_index_or_a_name(value: object, place: int) -> None:
    assert imagenet.index(value) == place


def test_lists_keep_their_order() -> None:
    assert imagenet.indices([999, "10-12", "tench"]) == [999, 10, 11, 12, 0]
    assert imagenet.indices("all") == list(range(1000))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["tnch"], "did you mean 'tench'"),
        ([1000], "0 to 999"),
        (["1000"], "0 to 999"),
        ([-1], "0 to 999"),
        ([True], "0 to 999"),
        (["12-10"], "a range goes up"),
        (["990-1000"], "within 0 to 999"),
        ([""], "unknown class ''"),
    ],
)
def test_what_is_no_class_is_refused(given: Any, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        imagenet.indices(given)


def test_names_are_for_a_thousand_classes_only() -> None:
    assert (class_condition("tench", 1000), class_label(0, 1000)) == (0, "tench")
    assert class_label(3, 10) == "class 3"
    with pytest.raises(SettingError, match="0 to 9"):
        class_condition("tench", 10)
