"""Names, indices and ranges of ImageNet's classes."""

from __future__ import annotations

from collections.abc import Callable
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


@pytest.mark.parametrize(("part", "places"), [("10-10", [10]), ("0-2", [0, 1, 2]), ("998-999", [998, 999])])
def test_ranges_have_both_ends(part: str, places: list[int]) -> None:
    assert imagenet.indices([part]) == places


def test_names_need_torchvision_only_when_they_are_asked_for(fresh_python: Callable[..., str]) -> None:
    code = "import sys; from tts import imagenet; imagenet.indices(['7', '1-3']); print('torch' in sys.modules)"
    assert fresh_python(code) == "False"


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
        ([1.5], "0 to 999"),
        ([[1]], "0 to 999"),
        (["Tench"], "unknown class 'Tench'; did you mean 'tench'"),
        (["5-1000000"], "within 0 to 999"),
        (["1-2-3"], "unknown class '1-2-3'"),
    ],
)
def test_what_is_no_class_is_refused(given: Any, message: str) -> None:
    with pytest.raises(SettingError, match=rf"^imagenet: .*{message}"):
        imagenet.indices(given)


def test_two_names_differ_by_case_only_and_each_must_be_written_exactly() -> None:
    """They are a dog and a garment."""
    assert [imagenet.index("Cardigan"), imagenet.index("cardigan")] == [264, 474]
    with pytest.raises(SettingError, match=r"'CARDIGAN' may be 264 \(Cardigan\) or 474 \(cardigan\); give the index"):
        imagenet.index("CARDIGAN")


def test_a_name_that_several_classes_share_is_refused_with_their_indices(monkeypatch: pytest.MonkeyPatch) -> None:
    """No two classes share a name today."""
    monkeypatch.setattr(imagenet, "names", lambda: ("crane", "heron", "crane", "Crane"))
    with pytest.raises(SettingError, match=r"'crane' may be 0 \(crane\) or 2 \(crane\)"):
        imagenet.index("crane")
    assert [imagenet.index("Crane"), imagenet.index("heron")] == [3, 1]


def test_names_are_for_a_thousand_classes_only() -> None:
    assert (class_condition("tench", 1000), class_label(0, 1000)) == (0, "tench")
    assert class_label(3, 10) == "class 3"
    with pytest.raises(SettingError, match="0 to 9"):
        class_condition("tench", 10)
